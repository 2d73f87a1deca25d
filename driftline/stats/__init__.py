"""Statistics: distances, intervals, multiple testing, variation between blocks; pure functions."""
