"""Windows judged by a program of the installation, by SageMaker's container contract."""
