"""What is recorded and not yet shipped: files of checksummed frames on the host's disk."""
