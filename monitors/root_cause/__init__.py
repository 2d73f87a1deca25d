"""From a violation to its segment, its beginning and its rows, each with its share of the blame."""
