"""Jobs on files in the background: stored, and each run in a process of its own."""
