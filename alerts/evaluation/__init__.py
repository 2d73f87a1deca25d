"""Alarms judged for real: what is due, from the store, with history and messages."""
