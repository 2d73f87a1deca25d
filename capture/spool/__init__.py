"""The spool: files of checksummed frames on the host's disk, recorded and not yet shipped."""
