"""Run the command line: ``python -m driftline``."""

from driftline.app.cli import main

if __name__ == "__main__":
    main()
