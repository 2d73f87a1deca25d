"""Labels (ground truth): as they arrive, and how they join the rows."""
