"""Inferences that another's logger tells of, as two events each."""
