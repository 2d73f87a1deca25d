"""The program: command line, client, settings, processes and demo. Builds things, nothing else."""
