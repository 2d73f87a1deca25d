"""What answers the network: the inference server and the programming interface."""
