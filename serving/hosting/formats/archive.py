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
from pathlib import Path, PurePosixPath

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.own_folders import lock_file, own_folder, remove_unused_folders

MEMBERS_MAX = 10_000
RATIO_MAX = 10  # Models hardly ever reach it.
ALWAYS_ALLOWED_BYTES = 2 << 30
_READ_MAX = 16 << 20  # At once: of headers, which tarfile reads whole.
_CHUNK = 1 << 20
# Of members, such as a file where a folder is.
_NO_PLACE = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)


class UnpackLimit:
    """The bytes that one archive may still unpack to: ten times its size, or ``floor`` if more."""

    def __init__(self, name: str, packed_bytes: int, floor: int) -> None:
        self._left = max(RATIO_MAX * packed_bytes, floor)
        self._refusal = (
            f"{name} is too large unpacked; expected at most {RATIO_MAX} times its "
            f"{packed_bytes} bytes, or {floor >> 20} MiB"
        )

    def take(self, size: int) -> None:
        """Count bytes that are about to be unpacked, or refuse them."""
        self._left -= size
        if self._left < 0:
            raise ModelError(self._refusal)


class _Bounded(gzip.GzipFile):
    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _READ_MAX:
            raise ModelError(f"its archive has a header of more than {_READ_MAX >> 20} MiB")
        return super().read(size)


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
    """Unpack a tar.gz into a new folder; refuse what is too large, no file, or leads outside."""
    folder.mkdir(mode=0o700)
    limit = UnpackLimit(archive.name, archive.stat().st_size, ALWAYS_ALLOWED_BYTES)
    try:
        with _Bounded(archive) as unzipped, tarfile.open(fileobj=unzipped, mode="r:") as members:
            for count, member in enumerate(members, 1):
                if count > MEMBERS_MAX:
                    raise ModelError(f"{archive.name} holds more than {MEMBERS_MAX} members")
                if problem := _problem(member):
                    raise ModelError(f"{archive.name} holds {member.name[:80]!r}, {problem}")
                target = folder / member.name
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                limit.take(member.size)  # As it says itself; no more of it is read.
                source = members.extractfile(member)
                assert source is not None  # It is a regular file.
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                with source, target.open("xb") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK)
                target.chmod(0o700 if member.mode & stat.S_IXUSR else 0o600)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError) as error:
        raise ModelError(f"{archive.name} is no whole tar.gz ({error})") from error
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise ModelError(
            f"{archive.name} holds {member.name[:80]!r}, which cannot be unpacked beside the "
            f"others ({error.strerror})"
        ) from error


def with_code(archive: Path, code: Path, folder: Path) -> Path:
    """Write a model's archive into a folder, with what another archive holds as its ``code``.

    That takes the place of what was there, as in SageMaker's containers. Equal archives give equal
    ones.
    """
    model, scripts, packed = folder / "model", folder / "scripts", folder / archive.name
    unpack(archive, model)
    unpack(code, scripts)
    files = {path: path.relative_to(model) for path in sorted(model.rglob("*"))}
    files = {path: name for path, name in files.items() if name.parts[0] != "code"}
    files |= {path: "code" / path.relative_to(scripts) for path in sorted(scripts.rglob("*"))}
    with (
        packed.open("xb") as sink,
        gzip.GzipFile("", "wb", 1, sink, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path, name in files.items():
            if path.is_file():
                member = tarfile.TarInfo(str(name))
                member.size, member.mode = path.stat().st_size, path.stat().st_mode & 0o700
                with path.open("rb") as source:
                    tar.addfile(member, source)
    return packed


def _problem(member: tarfile.TarInfo) -> str:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        return "a path outside of it"
    if not member.isreg() and not member.isdir():
        return "a link, device or pipe; expected files (tar --dereference writes those of links)"
    # Less than nothing would allow as many bytes more.
    return f"of {member.size} bytes" if member.size < 0 else ""
