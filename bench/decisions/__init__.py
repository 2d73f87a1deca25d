"""The simulation study of the drift decision: false alarms, delay, and other rules beside it."""
