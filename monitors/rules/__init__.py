"""Users' rules for rows, columns and windows, besides a baseline."""
