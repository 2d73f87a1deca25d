"""Windows of what was captured: their rows with labels, and which of them have changed."""
