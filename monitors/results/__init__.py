"""What a monitor finds, as plain values: violations, features, metrics, segments."""
