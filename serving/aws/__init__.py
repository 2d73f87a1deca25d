"""The wire protocols of AWS: its clients, asked for driftline's operations."""
