"""Record scripts: a source whose captured lines went through the user's preprocess_handler.

The script runs once over all records, in a child process. Its rows are kept as text, large ones in
a temporary file, so memory stays bounded; a column gets the narrowest type that fits, as in CSV.

References
----------
SageMaker developer guide, "Preprocessing and postprocessing".
"""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from driftline.baseline.scripting_process import Record, Row, run_script
from driftline.baseline.scripting_rows import source_of, texts_of
from driftline.errors import InputError
from driftline.formats.csv.files import CsvFile
from driftline.formats.data_files import data_files
from driftline.formats.location import Location
from driftline.formats.opening import find_encoding, open_text, read_head
from driftline.formats.source import Source
from driftline.signature import Signature

# Progress is told after so many records.
PROGRESS_RECORDS = 1000

Progress = Callable[[int, int | None], None]


def preprocessed(
    data: object,
    script: str | os.PathLike[str],
    *,
    signature: Signature | None = None,
    compat: bool = False,
    discreet: bool = False,
    progress: Progress | None = None,
) -> Source:
    """Pass each line of some files through a script's ``preprocess_handler``."""
    header: list[str] = []
    records = _records(_paths(data), signature, header)
    return preprocessed_records(
        records,
        script,
        signature=signature,
        compat=compat,
        discreet=discreet,
        header=header,
        progress=progress,
    )


def preprocessed_records(
    records: Iterable[Record],
    script: str | os.PathLike[str],
    *,
    signature: Signature | None = None,
    compat: bool = False,
    discreet: bool = False,
    with_ids: bool = False,
    header: Sequence[str] = (),
    progress: Progress | None = None,
) -> Source:
    """Pass records through a script's ``preprocess_handler``."""
    ids: list[str] | None = [] if with_ids else None
    done = 0

    def answers() -> Generator[list[Row]]:
        nonlocal done
        given = records if ids is None else _noted(records, ids)
        for found in run_script(script, "preprocess_handler", given, discreet=discreet):
            yield found
            done += 1
            if progress is not None and done % PROGRESS_RECORDS == 0:
                progress(done, None)

    with closing(answers()) as found:
        source = source_of(
            texts_of(found, ids), signature, compat=compat, with_ids=with_ids, header=header
        )
    if not source.row_count and signature is None:
        raise InputError(
            f"{os.fspath(script)}: preprocess_handler gave no rows for any of {done:,} records; "
            "expected at least one"
        )
    return source


def postprocess(
    script: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    discreet: bool = False,
) -> None:
    """Call a script's ``postprocess_handler()`` after the documents are written.

    The environment variable ``output_path`` names their folder, as in SageMaker's container.
    """
    own = {"output_path": str(Path(output).resolve())}
    for _ in run_script(script, "postprocess_handler", [None], discreet=discreet, environment=own):
        pass


def script_in(folder: str, name: str) -> Path:
    """Return a script of the installation's folder, named without a path."""
    if not folder:
        raise InputError(
            f'script "{name}": this installation runs none; expected a folder of scripts in its '
            "settings, [scheduler] scripts_dir"
        )
    place = Path(folder)
    known = (
        sorted(one.name for one in place.glob("*.py") if one.is_file()) if place.is_dir() else []
    )
    if name not in known:
        raise InputError(
            f'script "{name}": not in the folder of scripts; expected one of '
            f"{', '.join(known) or 'the files there, of which there are none'}"
        )
    return place / name


def _noted(records: Iterable[Record], ids: list[str]) -> Iterator[Record]:
    """Yield the records, and add the event id of each to a list."""
    for record in records:
        event = record.get("eventMetadata") if isinstance(record, Mapping) else None
        ids.append(str(event.get("eventId", "")) if isinstance(event, Mapping) else "")
        yield record


def _paths(data: object) -> list[str | os.PathLike[str]]:
    if isinstance(data, str | os.PathLike):
        return [data]
    if isinstance(data, list | tuple) and data:
        paths = [one for one in data if isinstance(one, str | os.PathLike)]
        if len(paths) == len(data):
            return paths
    raise InputError(
        f"data of type {type(data).__name__} with a preprocess script; expected paths of capture "
        "lines, JSON Lines or CSV: the script gets one line at a time"
    )


def _records(
    paths: Sequence[str | os.PathLike[str]], signature: Signature | None, header: list[str]
) -> Iterator[Record]:
    for place in (file for path in paths for file in data_files(path)):
        yield from _records_of(place, signature, header)


def _records_of(
    place: Location, signature: Signature | None, header: list[str]
) -> Iterator[Record]:
    head = read_head(place)
    encoding = find_encoding(head)
    text = head.decode(encoding, "replace")
    if head.startswith((b"PAR1", b"ARROW1")) or "\0" in text:
        raise InputError(
            f"{place.shown}: not a text file; a preprocess script gets lines: give capture lines, "
            "JSON Lines or CSV"
        )
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start == "[" and not _ends(text) and (whole := _list(place, encoding)) is not None:
        yield from whole
        return
    lines = _lines(place, encoding)
    if start not in ("{", "["):
        look = CsvFile.look(place, head, signature)
        lines = _joined(lines)
        if look.has_header:
            if header and header != list(look.names):
                raise InputError(
                    f"{place.shown}: other columns than the files before it have; a preprocess "
                    "script gets lines without their header, so expected the same in all"
                )
            header[:] = look.names
            lines = itertools.islice(lines, 1, None)
    for line in lines:
        yield _captured(line) if start == "{" else line


def _lines(place: Location, encoding: str) -> Iterator[str]:
    """Return the non-empty lines, without line ends."""
    with open_text(place, encoding) as stream:
        for line in io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="\n"):
            if text := line.rstrip("\r\n"):
                yield text


def _ends(text: str) -> bool:
    """Whether a file's first line is a complete JSON value, with more lines after it."""
    first, _, rest = text.lstrip("\ufeff \t\r\n").partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return bool(rest.strip())


def _list(place: Location, encoding: str) -> list[Record] | None:
    """Read a file that is one list of captured records; None when it is none."""
    try:
        found = json.loads("\n".join(_lines(place, encoding)))
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
    return found if is_list else None


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Join CSV lines whose line end is quoted."""
    held = ""
    for line in lines:
        held = f"{held}\n{line}" if held else line
        if held.count('"') % 2 == 0:
            yield held
            held = ""
    if held:
        yield held


def _captured(line: str) -> Record:
    """Parse a line as a captured record, else return it unchanged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return line  # The script may know what to do with it.
    is_captured = isinstance(found, dict) and isinstance(found.get("captureData"), dict)
    return found if is_captured else line
