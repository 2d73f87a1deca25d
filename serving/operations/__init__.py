"""The operations of the programming interface: one typed function each; `registry.py` says how."""
