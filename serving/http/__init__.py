"""The inference routes: bodies in, predictions out."""
