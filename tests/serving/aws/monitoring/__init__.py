"""The SageMaker SDK's monitor flow, on one server; as a package, it ends with them."""
