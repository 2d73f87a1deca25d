"""One data set: its profile, its statistics and constraints documents, its versions."""
