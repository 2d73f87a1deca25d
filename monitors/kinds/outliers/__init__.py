"""Single rows that do not look like the reference's: a score for each, and their share watched."""
