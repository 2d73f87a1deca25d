"""What became of every record: counts, and the proof that none is missing."""
