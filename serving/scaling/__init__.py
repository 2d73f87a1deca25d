"""Autoscaling: how many workers a variant is to have, by its policies, alarms and schedules."""
