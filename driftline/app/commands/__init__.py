"""The commands, one file for each group; driftline/app/cli.py puts them together."""
