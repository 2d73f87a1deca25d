"""SageMaker's capture files, in and out."""
