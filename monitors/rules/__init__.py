"""Rules that people declare: what rows, columns and windows must keep to besides a baseline."""
