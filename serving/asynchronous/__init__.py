"""Asynchronous endpoints: requests that wait in the database, and are answered by files."""
