"""Installed packages with entry points, as pip leaves them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def plug_in(place: Path, module: str, source: str, entry_points: str) -> None:
    """Install a package of one module in a folder."""
    (place / f"{module}.py").write_text(source)
    about = place / f"{module}-1.0.dist-info"
    about.mkdir()
    name = module.replace("_", "-")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)


@contextmanager
def plugged_in(place: Path, module: str, source: str, entry_points: str) -> Iterator[Path]:
    """Install a package for this process, until the block ends."""
    plug_in(place, module, source, entry_points)
    sys.path.insert(0, str(place))
    yield place
    sys.path[:] = [one for one in sys.path if one != str(place)]
    sys.modules.pop(module, None)
