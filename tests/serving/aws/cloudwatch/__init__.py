"""CloudWatch of boto3, on one server; as a package, it ends with them."""
