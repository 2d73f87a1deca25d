"""The kind "joint": whether columns still hang together as in the reference."""
