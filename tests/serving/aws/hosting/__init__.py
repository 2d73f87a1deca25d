"""Hosting by an unmodified boto3, on one server; as a package, it ends with them."""
