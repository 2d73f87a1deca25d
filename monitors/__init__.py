"""Monitors: they judge windows of data against a baseline, on a schedule."""
