"""Ground truth: labels as they come, and how they fit the rows."""
