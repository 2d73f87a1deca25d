"""The kind "model-quality": how good the answers were, measured against the truth."""
