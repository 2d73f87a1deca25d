"""One number over time: metrics, alarms on them, and what people are told."""
