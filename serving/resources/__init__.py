"""Declared resources: their kinds and fields, as people write them and as they are stored."""
