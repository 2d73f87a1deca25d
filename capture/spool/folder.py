"""One spool on the disk: its folder, the lock that says its writer lives, its segments.

Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from driftline.capture.spool.counters import DropCounters
from driftline.capture.spool.frame import pack_meta
from driftline.capture.spool.quota import COUNTERS_NAME

SEGMENT_SUFFIX = ".dls"
LOCK_NAME = "writer.lock"
UNFINISHED_PREFIX = ".new-"
QUARANTINE = "quarantine"  # Beside the spools: records that no broker took.


class SpoolFolder:
    """The folder of a spool; created under another name, and renamed once its lock is held.

    ``drops``: continued in a page of the new folder. The folder is synced before it takes a record,
    so that after a loss of power it shows that records may be missing.
    """

    def __init__(self, folder: Path, drops: DropCounters, now_ns: int) -> None:
        self.spool_id = new_spool_id(now_ns)
        self.path = folder / self.spool_id
        unfinished = folder / f"{UNFINISHED_PREFIX}{self.spool_id}"
        make_folder(folder)
        unfinished.mkdir(mode=0o700)
        self._lock = -1
        try:
            self._lock = lock_file(unfinished / LOCK_NAME)
            drops.attach(unfinished / COUNTERS_NAME, boot_id())
            sync_path(unfinished / COUNTERS_NAME)
            sync_path(unfinished)
            unfinished.rename(self.path)
            sync_path(folder)
        except OSError:
            drops.close()
            self.close()
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def open_segment(self, first_seq: int) -> int:
        """Open a segment for appending, named by the first number in it; return its descriptor.

        An existing one of that name holds no record, as its first one failed; it is truncated.
        """
        path = segment_path(self.path, first_seq)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)

    def header(self) -> bytes:
        """Pack the meta of a segment's first frame."""
        return pack_meta(
            {
                "spool_id": self.spool_id,
                "host": socket.gethostname(),
                "pid": str(os.getpid()),
                "boot_id": boot_id(),
            }
        )

    def is_there(self) -> bool:
        """Whether the folder still exists."""
        return self.path.exists()

    def close(self) -> None:
        """Release the lock: no more will be written."""
        if self._lock >= 0:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = -1


def spools_in(folder: Path) -> list[Path]:
    """Return the spools of a host, oldest first; none where there is no such folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only, on a hot path.
    except FileNotFoundError:
        return []
    return [
        folder / name for name in sorted(names) if not name.startswith(".") and name != QUARANTINE
    ]


def segments_of(spool: Path) -> list[int]:
    """Return the first sequence number of each segment, ascending; none in a removed spool."""
    try:
        names = os.listdir(spool)  # noqa: PTH208 - names only, on a hot path.
    except (FileNotFoundError, NotADirectoryError):
        return []
    sequences = []
    for name in names:
        if name.endswith(SEGMENT_SUFFIX):
            with suppress(ValueError):
                sequences.append(int(name.removesuffix(SEGMENT_SUFFIX), 16))
    return sorted(sequences)


def segment_path(spool: Path, first_seq: int) -> Path:
    """Return the path of a segment, which is named by its first sequence number."""
    return spool / f"{first_seq:016x}{SEGMENT_SUFFIX}"


def lock_file(path: Path) -> int:
    """Lock a file exclusively; return its descriptor. The kernel unlocks it when we die.

    Raises BlockingIOError when another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def replace_file(path: Path, data: bytes, *, is_synced: bool = False) -> None:
    """Write a file atomically, for its owner only; ``is_synced``: it is on the disk afterwards."""
    # Two processes may replace one file at once.
    unfinished = path.with_name(f"{path.name}.{os.urandom(6).hex()}.new")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if is_synced:
                file.flush()
                os.fdatasync(descriptor)
        unfinished.replace(path)
        if is_synced:
            sync_path(path.parent)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        raise


def make_folder(folder: Path) -> None:
    """Create a folder, for its owner only, and those above it; their names are on the disk then."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        sync_path(folder.parent)


def sync_path(path: str | os.PathLike[str]) -> None:
    """Sync a file's bytes, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has_writer(spool: Path) -> bool:
    """Whether the writer is alive: the kernel releases its lock when the process dies."""
    try:
        descriptor = os.open(spool / LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # Two who ask see no writer.
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def new_spool_id(now_ns: int) -> str:
    """Make a UUIDv7: sorts by the time it was made, random otherwise (RFC 9562, 5.7)."""
    number = int.from_bytes(os.urandom(10), "big") | (now_ns // 1_000_000 & (1 << 48) - 1) << 80
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def boot_id() -> str:
    """Return the boot id of the kernel; what an earlier boot left unsynced may be missing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
