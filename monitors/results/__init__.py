"""Results of monitors as plain values: violations, features, metrics, segments."""
