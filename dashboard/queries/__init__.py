"""Queries of the pages on the database and the storage root; read-only."""
