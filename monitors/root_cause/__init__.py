"""From a violation to its segment, its onset and its contributing rows."""
