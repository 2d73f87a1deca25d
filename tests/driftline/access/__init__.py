"""Who may do what, on one server: a package, so that the server ends with these tests."""
