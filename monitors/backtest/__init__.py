"""Backtests: what a monitor would have said of past windows."""
