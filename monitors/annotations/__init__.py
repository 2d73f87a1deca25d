"""Users' annotations of a monitor's findings: expected, harmful, or the new normal."""
