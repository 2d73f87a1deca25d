"""What black-box tests share: data, installations, and the servers around them.

The kit knows driftline by its command line, HTTP, files and ``import driftline`` alone, so a test
on it survives any change of the inside.
"""
