"""Who may do what: tokens, sessions, roles, and the audit log of who did."""
