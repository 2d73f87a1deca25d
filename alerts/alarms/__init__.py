"""Alarms: their definitions, their evaluation (pure), and their rows."""
