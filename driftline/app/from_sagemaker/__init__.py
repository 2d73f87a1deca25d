"""SageMaker's monitors as resources, from what the AWS command line printed."""
