"""Declared resources: their specs, the plan of a change, and its application."""
