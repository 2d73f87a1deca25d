"""The engine: judges every number that is a function of sums, for all kinds of monitors.

A kind adds rows up by group (`sums`), and says how sums become numbers (`metric`). The engine
learns the reference once (`reference`), tests each window (`block_test`), and tests several windows
together (`pooling`).
"""
