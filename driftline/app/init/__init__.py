"""``driftline init``: from a data file to a resource file and a first check."""
