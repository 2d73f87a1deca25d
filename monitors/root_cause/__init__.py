"""Root causes of violations: segment, onset and contributing rows."""
