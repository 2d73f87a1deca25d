"""Models that are commands: run and asked by the container contract of SageMaker."""
