"""A disk that loses its power: what of a folder is left when only what was synced is on it.

Each ``fsync`` of a file keeps its bytes of that moment, each of a folder the names in it. After a
cut a file has the bytes of its last sync, and is empty without one; a folder has the names of its
last sync. With a generator of random numbers, anything that was not synced may be there all the
same: a later name, a name that was removed, all of the later bytes or a part of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

Names = dict[str, int]


class Disk:
    """Watches a folder from now on; ``on_sync`` is called before and after each sync."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.on_sync: Callable[[], None] = lambda: None
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, Names] = {}
        # A file that is open keeps its number, which another one would take over otherwise.
        self._open: dict[int, int] = {}
        self._note_folder(str(folder))
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def close(self) -> None:
        """Let go of the files that were watched."""
        for descriptor in self._open.values():
            os.close(descriptor)

    def cut(self, target: Path, chance: random.Random | None = None) -> Path:
        """Rebuild the folder in another place as it is after a loss of power now."""
        live = {entry.stat().st_ino: entry for entry in self.folder.rglob("*")}
        live[self.folder.stat().st_ino] = self.folder
        self._rebuild(self.folder.stat().st_ino, target, live, chance)
        return target

    def _watched(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if not Path(path).is_relative_to(self.folder):
                return sync(descriptor)
            self.on_sync()
            if Path(path).is_dir():
                self._note_folder(path)
            else:
                self._bytes[self._keep(path)] = Path(path).read_bytes()
            return self.on_sync()

        return synced

    def _note_folder(self, path: str) -> None:
        self._names[self._keep(path)] = {
            entry.name: self._keep(entry.path) for entry in os.scandir(path)
        }

    def _keep(self, path: str) -> int:
        number = Path(path).stat().st_ino
        if number not in self._open:
            self._open[number] = os.open(path, os.O_RDONLY)
        return number

    def _rebuild(
        self, number: int, target: Path, live: dict[int, Path], chance: random.Random | None
    ) -> None:
        target.mkdir(mode=0o700)
        names = dict(self._names.get(number, {}))
        if chance is not None and number in live:
            now = {entry.name: entry.stat().st_ino for entry in live[number].iterdir()}
            for name in sorted({*names, *now}):
                if chance.random() < 0.5:
                    names.pop(name, None)
                    names |= {name: now[name]} if name in now else {}
        for name, inode in names.items():
            if inode in self._names or (inode in live and live[inode].is_dir()):
                self._rebuild(inode, target / name, live, chance)
            else:
                (target / name).write_bytes(self._left(inode, live, chance))

    def _left(self, inode: int, live: dict[int, Path], chance: random.Random | None) -> bytes:
        synced = self._bytes.get(inode, b"")
        if chance is None or inode not in live:
            return synced
        now = live[inode].read_bytes()
        torn = now[: chance.randrange(len(now) + 1)]
        return chance.choice([synced, now, torn if torn.startswith(synced) else synced])
