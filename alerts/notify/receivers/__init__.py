"""The receivers of notifications: one file for each kind of channel."""
