"""Where what lay in a bucket lies now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from driftline.errors import InputError


@dataclass(frozen=True, slots=True)
class Places:
    """Folders in the place of beginnings of URIs, the longest first."""

    folders: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Places:
        """Read texts such as ``s3://bucket/prefix=copy/``."""
        found = []
        for text in texts:
            uri, separator, folder = text.partition("=")
            if not separator or "://" not in uri or not folder:
                raise InputError(f'--map "{text}"; expected URI=FOLDER such as s3://bucket=copy')
            found.append((uri.rstrip("/"), str(Path(folder).resolve())))
        return cls(tuple(sorted(found, key=lambda one: -len(one[0]))))

    def place(self, uri: str) -> str:
        """Return the folder or file that a URI stands for; the URI itself where none does."""
        for start, folder in self.folders:
            if uri == start or uri.startswith(f"{start}/"):
                return folder + uri[len(start) :]
        return uri

    def local(self, uri: str) -> Path | None:
        """Return a URI's place on this machine; None where it has none."""
        place = self.place(uri)
        return None if "://" in place or not place else Path(place)
