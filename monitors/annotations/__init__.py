"""What people say of a monitor's findings: expected, harmful, or the new normal."""
