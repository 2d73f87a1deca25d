"""Notifications: their content, their channels, and their delivery."""
