"""The kinds of monitor; each evaluates a window against a baseline in its own way."""
