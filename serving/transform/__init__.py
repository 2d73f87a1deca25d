"""Batch transform: files scored by a model, in jobs that outlive their process."""
