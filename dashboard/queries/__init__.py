"""What the pages show, read from the database and the storage root; nothing here writes."""
