"""JSON and JSON Lines: documents, the rows in them, files and bodies."""
