"""The drift test: compares counts with the reference's, within a budget of false alarms."""
