"""What the kernel tells about processes, for tests."""

from pathlib import Path


def is_running(process: int) -> bool:
    """Whether a process runs; one that only its new parent has not collected does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
