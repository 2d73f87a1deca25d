"""The way from the spool to the tables: sidecar, broker, sink."""
