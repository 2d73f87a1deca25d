"""What fitted models of well-known libraries tell of themselves: categories, contributions."""
