"""A monitor at work: definitions, schedules, executions, and what they publish."""
