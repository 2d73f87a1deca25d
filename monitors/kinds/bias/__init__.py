"""The kind "bias": whether groups are treated otherwise than in the reference."""
