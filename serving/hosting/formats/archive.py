"""Archives of models (tar.gz), unpacked without trust, once for all workers of this user."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.own_folders import lock_file, own_folder, remove_unused_folders

MEMBERS_MAX = 10_000
RATIO_MAX = 10  # Models hardly ever reach it.
ALWAYS_ALLOWED_BYTES = 2 << 30
_BESIDE_MAX = 32 << 20  # Of headers, which tarfile reads whole and keeps, and after the last file.
_CHUNK = 1 << 20
# Of members, such as a file where a folder is.
_NO_PLACE = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)

# A file, or a folder without content.
Member = tuple[tarfile.TarInfo, IO[bytes] | None]


def most_unpacked(packed_bytes: int, floor: int) -> int:
    """Return to how many bytes a model may unpack: ten times its size, or ``floor`` if more."""
    return max(RATIO_MAX * packed_bytes, floor)


class UnpackLimit:
    """The bytes that one archive may still unpack to."""

    def __init__(self, name: str, most_bytes: int) -> None:
        self._left = most_bytes
        self._refusal = (
            f"{name} is too large unpacked; expected at most {most_bytes >> 20} MiB of files"
        )

    def take(self, size: int) -> None:
        """Count bytes that are about to be unpacked, or refuse them."""
        self._left -= size
        if self._left < 0:
            raise ModelError(self._refusal)


class _Bounded(gzip.GzipFile):
    """A stream of a tar, of which its files and a little beside them can be read."""

    left = _BESIDE_MAX
    last = b""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.left:
            raise tarfile.ReadError(f"more than {_BESIDE_MAX >> 20} MiB beside its files")
        self.last = super().read(size)
        self.left -= len(self.last)
        return self.last


@contextmanager
def opened(packed: IO[bytes], name: str, most_bytes: int) -> Iterator[Iterator[Member]]:
    """Read a tar.gz to its end; refuse what is damaged, too large, no file, or leads outside."""
    try:
        with (
            _Bounded(fileobj=packed) as unzipped,
            tarfile.open(fileobj=unzipped, mode="r:") as members,
        ):
            yield _members(members, unzipped, name, UnpackLimit(name, most_bytes))
    except (
        tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError,
        RecursionError,  # Of headers of headers of headers.
    ) as error:  # fmt: skip
        raise ModelError(f"{name} is no whole tar.gz ({error})") from error


def _members(
    members: tarfile.TarFile, unzipped: _Bounded, name: str, limit: UnpackLimit
) -> Iterator[Member]:
    for count, member in enumerate(members, 1):
        if count > MEMBERS_MAX:
            raise ModelError(f"{name} holds more than {MEMBERS_MAX} members")
        if problem := _problem(member):
            raise ModelError(f"{name} holds {member.name[:80]!r}, {problem}")
        if member.isdir():
            yield member, None
            continue
        limit.take(member.size)  # As it says itself; no more of it is read.
        left = unzipped.left
        unzipped.left += member.size
        yield member, members.extractfile(member)
        unzipped.left = left  # Of one that was not read, too.
    if any(unzipped.last):  # tarfile takes one for the end.
        raise tarfile.ReadError("a damaged header")
    while unzipped.read(_CHUNK):  # The checksum is at the end.
        pass


class Unpacked:
    """Folders of this user's unpacked archives, each locked by the workers that use it."""

    def __init__(self) -> None:
        # By archive and folder, until the archive is released or this process ends.
        self._locks: dict[tuple[Path, Path], int] = {}

    def folder(self, archive: Path) -> Path:
        """Return the folder that holds what is in an archive, unpacked if it is not yet."""
        place = own_folder()
        with archive.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        target = place / digest
        if (archive, target) in self._locks:
            return target
        while True:
            lock = lock_file(place / f"{digest}.lock", fcntl.LOCK_SH)
            assert lock is not None  # It waits.
            if target.exists():
                self._locks[archive, target] = lock
                return target
            os.close(lock)
            _unpack_alone(archive, target)

    def release(self, archive: Path) -> None:
        """Let go of an archive's folder: it goes when another is unpacked, or a worker ends."""
        for key in [one for one in self._locks if one[0] == archive]:
            os.close(self._locks.pop(key))


def _unpack_alone(archive: Path, target: Path) -> None:
    """Unpack an archive, unless another process has just done so."""
    lock = lock_file(target.with_suffix(".lock"), fcntl.LOCK_EX)
    assert lock is not None  # It waits.
    half = target.with_suffix(".half")
    try:
        if not target.exists():
            remove_unused_folders()
            shutil.rmtree(half, ignore_errors=True)  # Of a process that was killed.
            unpack(archive, half)
            half.rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)
        os.close(lock)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar.gz into a new folder."""
    folder.mkdir(mode=0o700)
    with _model_opened(archive) as members:
        for member, source in members:
            try:
                _write(folder / member.name, member, source)
            except OSError as error:
                if error.errno not in _NO_PLACE:
                    raise
                raise ModelError(
                    f"{archive.name} holds {member.name[:80]!r}, which cannot be unpacked beside "
                    f"the others ({error.strerror})"
                ) from error


def with_code(archive: Path, code: Path, folder: Path) -> Path:
    """Write a model's archive into a folder, with what another archive holds as its ``code``.

    That takes the place of what was there, as in SageMaker's containers. Equal archives give equal
    ones.
    """
    packed = folder / archive.name
    with (
        packed.open("xb") as sink,
        gzip.GzipFile("", "wb", 1, sink, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for part, top in ((archive, ""), (code, "code")):
            with _model_opened(part) as members:
                for member, source in members:
                    name = PurePosixPath(top, member.name)
                    if source is None or (part is archive and name.parts[:1] == ("code",)):
                        continue
                    info = tarfile.TarInfo(str(name))
                    info.size, info.mode = member.size, member.mode & 0o700
                    tar.addfile(info, source)
    return packed


@contextmanager
def _model_opened(archive: Path) -> Iterator[Iterator[Member]]:
    most_bytes = most_unpacked(archive.stat().st_size, ALWAYS_ALLOWED_BYTES)
    with archive.open("rb") as packed, opened(packed, archive.name, most_bytes) as members:
        yield members


def _write(target: Path, member: tarfile.TarInfo, source: IO[bytes] | None) -> None:
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with target.open("xb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK)
    target.chmod(0o700 if member.mode & stat.S_IXUSR else 0o600)


def _problem(member: tarfile.TarInfo) -> str:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        return "a path outside of it"
    if not member.isreg() and not member.isdir():
        return "a link, device or pipe; expected files (tar --dereference writes those of links)"
    # Less than nothing would allow as many bytes more.
    return f"of {member.size} bytes" if member.size < 0 else ""
