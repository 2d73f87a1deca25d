"""The commands, one file for each group; driftline/cli.py puts them together."""
