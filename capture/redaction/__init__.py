"""Redaction: removes from records what must not leave the host."""
