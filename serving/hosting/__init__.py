"""Models at work: worker processes, pools, routing and model formats."""
