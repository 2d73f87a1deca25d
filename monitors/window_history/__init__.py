"""What a monitor remembers of the windows before, so that longer spans can be judged."""
