"""CSV: dialects, quotes, files and bodies."""
