"""The tables below the storage root: written exactly once, read by window, kept small."""
