"""Access: tokens, sessions, roles, and the audit log."""
