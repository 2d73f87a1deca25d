"""Captured requests sent again to another model, and what it answers beside what was answered."""
