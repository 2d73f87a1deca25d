"""The inference routes, and what every route shares: bounds on bodies, the form of errors."""
