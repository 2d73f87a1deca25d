"""Provisioning: the plan of a change, its artifacts, its application."""
