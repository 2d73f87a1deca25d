"""Artefacts as SageMaker has them, for tests."""

import io
import tarfile
from pathlib import Path


def pack(archive: Path, members: dict[str, bytes | str | tarfile.TarInfo]) -> Path:
    """Write a tar.gz of files by their content, and of members that are no files."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a link, device or folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info
