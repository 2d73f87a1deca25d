"""Processing jobs: baselines and checks of files, made in the background."""
