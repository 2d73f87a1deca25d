"""What makes declared resources run: the plan of a change, what it makes, its application."""
