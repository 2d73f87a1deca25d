"""Bodies of invocations: media types, rows in, predictions out."""
