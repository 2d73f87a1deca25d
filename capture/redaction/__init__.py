"""What must not leave the host is taken out of records."""
