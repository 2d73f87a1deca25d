"""The kind "model-quality": quality of predictions, measured by their labels."""
