"""Which files declared resources may read: data, and never the system's files or our secrets.

Whoever may declare a baseline reads its values in statistics.json, so a resource may not name all
that the server's user can read (docs/why/capture-table.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from driftline.errors import InputError
from driftline.storage import check_uri, is_remote, open_uri, own_object

_SYSTEM = tuple(map(Path, ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")))


@dataclass(frozen=True, slots=True)
class Reach:
    """The files and URIs that resources may name.

    ``folders``: folders and URIs of data; empty: any folder but those of the system and hidden
    ones; ``own``: folders of this installation, which may themselves be hidden; ``secrets``: files
    and folders that nothing may name, wherever they are; ``outputs``: folders and URIs that
    requests may have files written to; ``mend``: how a refusal ends.
    """

    folders: tuple[str, ...] = ()
    own: tuple[Path, ...] = ()
    secrets: tuple[Path, ...] = ()
    outputs: tuple[str, ...] = ()
    mend: str = "move the data, or name its folder in [serving] data_dirs"

    def check(self, file: Path) -> None:
        """Refuse a path of this machine that is out of reach, links followed."""
        path = file.resolve()
        # Whoever looks into a folder above the system's looks into those, too.
        if any(one.is_relative_to(_start(path)) for one in _SYSTEM):
            raise InputError(f"{file}: holds files of the system; {self.mend}")
        if _above(path, self.secrets):
            raise InputError(f"{file}: belongs to the installation itself; {self.mend}")
        if _above(path, [Path(folder) for folder in self.folders if not is_remote(folder)]):
            return
        if self.folders:
            raise InputError(f"{file}: in none of the data folders; {self.mend}")
        if _above(path, _SYSTEM):
            raise InputError(f"{file}: a file of the system; {self.mend}")
        below = path.relative_to(max(_above(path, self.own), key=len, default="/"))
        if any(part.startswith(".") for part in below.parts):
            raise InputError(f"{file}: hidden, as keys and settings are; {self.mend}")

    def check_data(self, where: str) -> None:
        """Refuse a path or URI of a table that is relative, or out of reach."""
        if own_object(where) is not None:
            return  # Data, as all of an own bucket is.
        if is_remote(where):
            self.check_uri(where)
            return
        self.check(absolute(where))

    def check_uri(self, uri: str) -> None:
        """Refuse a URI that names no bucket, or is out of reach."""
        check_uri(uri)
        if self.folders and not is_below(uri, self.folders):
            raise InputError(f"{uri}: in none of the data folders; {self.mend}")

    def check_output(self, where: str) -> None:
        """Refuse a path or URI that requests may not have files written to, links followed."""
        if own_object(where) is not None:
            return
        if is_remote(where):
            check_uri(where)
            is_inside = is_below(where, self.outputs)
        else:
            path = absolute(where)
            local = [Path(open_uri(one)[1]) for one in self.outputs if not is_remote(one)]
            real = path.resolve()
            is_inside = bool(_above(real, local)) and not _above(real, self.secrets)
        if not is_inside:
            places = ", ".join(self.outputs) or "none"
            raise InputError(
                f"{where}: not in a folder for outputs ({places}); write there, or name its folder "
                "in [serving] output_dirs"
            )

    def check_object(self, where: str, endpoint: str) -> None:
        """Refuse a path or URI that invocations of an endpoint may not name.

        Narrower than for resources: whoever may invoke one endpoint may not declare resources, nor
        read the data of another, and a model's refusal quotes what it read.
        """
        places = [f"{one.rstrip('/')}/{endpoint}" for one in (*self.folders, *self.outputs)]
        mend = f'move it to a folder "{endpoint}" in [serving] data_dirs or output_dirs'
        if own_object(where) is not None:
            first, _, rest = where.removeprefix("s3://").partition("/")[2].partition("/")
            is_own = bool(rest) and first.casefold() == endpoint.casefold()
            if not is_own and not is_below(where, places):
                raise InputError(f"{where}: {mend}, or such a folder at the top of its bucket")
            return
        if not places:
            raise InputError(f"{where}: invocations may name no files; {mend}")
        Reach(tuple(places), self.own, self.secrets, mend=mend).check_data(where)


def _start(path: Path) -> Path:
    """Return where the search for a path begins: of a pattern, the folder before its first sign."""
    parts = path.parts
    signs = (at for at, part in enumerate(parts) if any(sign in part for sign in "*?["))
    return Path(*parts[: next(signs, len(parts))])


def is_below(uri: str, folders: Iterable[str]) -> bool:
    """Return whether a URI is one of those of folders, or below it; never of a local folder."""
    remote = [folder.rstrip("/") for folder in folders if is_remote(folder)]
    is_inside = any(uri == folder or uri.startswith(f"{folder}/") for folder in remote)
    return is_inside and "/../" not in uri and not uri.endswith("/..")


def _above(path: Path, folders: Iterable[Path]) -> list[str]:
    return [str(one) for folder in folders if path.is_relative_to(one := folder.resolve())]


def absolute(where: str, what: str = "path") -> Path:
    """Refuse a path that would depend on the folder in which the server was started."""
    is_uri = where.startswith("file:") or own_object(where) is not None
    path = Path(open_uri(where)[1] if is_uri else where)
    if not path.is_absolute():
        raise InputError(f'{what} "{where}" is relative; expected an absolute one')
    return path
