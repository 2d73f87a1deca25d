"""The files of a model: one, or those in a folder, whoever has put them there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from driftline.errors import InputError

# Of a folder: beyond, somebody has named a folder of other things.
FILES_MAX, BYTES_MAX, DEPTH_MAX = 10_000, 64 << 30, 50


def model_files(model: Path) -> Mapping[str, Path]:
    """Return a model's files, sorted by their paths inside it; a single file by "".

    Hidden files and folders are no part of a model. Links count as the files that they lead to;
    devices, pipes, and links out of the folder or to folders are refused.
    """
    if not model.is_dir():
        if not model.is_file():
            raise InputError(f"{model}: no regular file; expected a model's")
        return {"": model}
    top = model.resolve()
    files: dict[str, Path] = {}
    size_bytes = 0
    for file in _below(model):
        if len(files) == FILES_MAX:
            raise InputError(f"{model} holds more than {FILES_MAX:,} files; expected a model's")
        try:
            found = file.stat()
        except OSError as error:  # A link that leads nowhere, or in a circle.
            raise _unreadable(file, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{file}: no regular file; expected a model's")
        if file.is_symlink() and not file.resolve().is_relative_to(top):
            raise InputError(
                f"{file}: a link out of the model's folder; expected files, or links to files "
                "inside it (cp -RL makes such a copy)"
            )
        size_bytes += found.st_size
        if size_bytes > BYTES_MAX:
            raise InputError(f"{model} holds more than {BYTES_MAX >> 30} GiB; expected a model's")
        files[file.relative_to(model).as_posix()] = file
    return dict(sorted(files.items()))


def model_digest(model: Path) -> str:
    """Return a digest of a model's bytes; of a folder's, of the names in it, too."""
    files = model_files(model)
    if model.is_dir():
        found = hashlib.blake2b(digest_size=16)
        for name, file in files.items():
            # No name holds a NUL, and digests have one length: no other tree reads the same.
            found.update(os.fsencode(name) + b"\0" + file_digest(file))
        return found.hexdigest()
    return file_digest(model).hex()


def file_digest(file: Path) -> bytes:
    """Return a digest of a file's bytes."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, partial(hashlib.blake2b, digest_size=16)).digest()
    except OSError as error:
        raise _unreadable(file, error) from error


def copy_model(source: Path, target: Path) -> None:
    """Copy a model's files; of a folder without what is hidden, and no link as a link."""
    for name, file in model_files(source).items():
        place = target / name if name else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def remove_model(model: Path) -> None:
    """Remove a model, if there is one."""
    if model.is_dir():
        shutil.rmtree(model, ignore_errors=True)
    else:
        model.unlink(missing_ok=True)


def _below(top: Path) -> Iterator[Path]:
    """Yield what is in a folder and those in it, but for folders and what is hidden."""
    for path, folders, files in os.walk(top, onerror=_refuse):
        folder = Path(path)
        if len(folder.parts) - len(top.parts) > DEPTH_MAX:
            raise InputError(f"{top} holds folders {DEPTH_MAX} deep; expected a model's")
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if (folder / name).is_symlink():
                raise InputError(
                    f"{folder / name}: a link to a folder; expected files and folders (cp -RL "
                    "makes such a copy)"
                )
        yield from (folder / name for name in files if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise error


def _unreadable(file: Path, error: OSError) -> InputError:
    return InputError(f"{file}: cannot be read ({error.strerror})")
