"""The day test: whether days differ from those expected by hour, weekday and season."""
