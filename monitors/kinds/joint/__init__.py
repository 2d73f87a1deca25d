"""The kind "joint": whether columns are related as in the reference."""
