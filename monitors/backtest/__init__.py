"""What a monitor would have done: history replayed through its own rule, beside other rules."""
