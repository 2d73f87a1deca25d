"""Backtests: a monitor's rule on past data, compared with other rules."""
