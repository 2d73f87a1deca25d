"""The tap: records an app's requests as they pass."""
