"""Recognises kinds of faults in the values of violated columns."""
