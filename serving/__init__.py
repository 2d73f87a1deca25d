"""The inference server and the API."""
