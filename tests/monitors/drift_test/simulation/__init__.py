"""Simulated streams for the drift test: their history, a change, and what the test says of them."""
