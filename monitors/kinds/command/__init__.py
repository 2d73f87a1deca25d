"""The kind "command": a program of the installation judges, by SageMaker's container contract."""
