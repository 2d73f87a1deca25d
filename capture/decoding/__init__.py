"""Bodies of requests and responses to typed columns."""
