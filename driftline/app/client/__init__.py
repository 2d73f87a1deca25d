"""The client of a running server: one method for each thing that the API can do."""
