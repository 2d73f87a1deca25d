"""Commands that bring captured records out as SageMaker's files, and such files in."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.capture import capture
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.progress import progress
from driftline.errors import InputError
from driftline.formats.capture_line import LineError, read_line

if TYPE_CHECKING:
    from driftline.app.commands.capture_sources import Source
    from driftline.capture.sagemaker.capture_files import FileCounts

Layout = Literal["endpoint", "batch"]

# What one request carries: well below the server's limit, and quick enough to be shown as progress.
CHUNK_LINES = 5_000
CHUNK_BYTES = 8 << 20
BAD_SHOWN = 10
PLACES_SHOWN = 3


@capture.command("export")
@options.asks_server
def export(
    client: Client,
    endpoint: Annotated[str, typer.Argument(help="Endpoint whose captured records are written.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="DIR|URI", help="Where to.")],
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First hour [of the first record].")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End [the last hour that is over].")
    ] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Only this one [all].")] = None,
    form: Annotated[
        Literal["sagemaker"], typer.Option("--format", help="Form of the files.")
    ] = "sagemaker",
    layout: Annotated[
        Layout, typer.Option("--layout", help="As an endpoint's capture, or a batch's.")
    ] = "endpoint",
) -> Answer:
    """Write captured records as SageMaker's capture files, one a minute, of hours that are over.

    DIR/ENDPOINT/VARIANT/yyyy/mm/dd/hh/mm-ss-ms-uuid.jsonl. Exporting again writes the same files:
    late records are added, erased ones go, and what broke off goes on. Requests that failed, and
    those whose bodies were cut, are left out and counted.

    Example: driftline capture export flights -o s3://bucket/captured --from 2026-01-15
    """
    options.open_places(output, config_file=client.config_file)
    begin, last = options.moment(start, "--from"), options.moment(end, "--to")
    found = client.captured_hours(endpoint, start=begin, end=last, variant=variant)
    total, left_out = _write_hours(client, found, output, layout)
    total += _clear(output, layout, found, variant)
    shown = {"endpoint": found["endpoint"], "format": form, "before": found["before"]}
    lines = [
        f"{total.lines:,} lines of {found['endpoint']} before {found['before']} in {output}: "
        f"{total.written:,} files written, {total.unchanged:,} there already, "
        f"{total.removed:,} removed"
    ]
    value = {**shown, **asdict(total), "left_out": dict(left_out)}
    return Answer(value, _exported(lines, left_out))


def _exported(lines: Sequence[str], left_out: Mapping[str, int]) -> Iterator[str]:
    yield from lines
    if left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))
        typer.echo(f"left out: {reasons}", err=True)


def _write_hours(
    client: Client, found: Mapping[str, Any], output: str, layout: Layout
) -> tuple[FileCounts, Counter[str]]:
    """Write the files of all hours; give what was written, and what was left out."""
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.capture.sagemaker.capture_files import FileCounts

    total, left_out = FileCounts(), Counter[str]()
    hours = found["items"]
    count = sum(hour["lines"] for hour in hours)
    with progress("exporting", unit="lines") as advance:
        for hour in hours:
            left_out.update(hour["left_out"])
            lines = client.captured_lines(
                found["endpoint"], hour=hour["start"], variant=hour["variant"]
            )
            at = datetime.fromisoformat(hour["start"]).astimezone(UTC)
            place = (output, found["endpoint"], hour["variant"], at)
            counts, uneven = _write_hour(layout, place, lines)
            left_out.update({"no_lines": uneven} if uneven else {})
            total += counts
            advance(total.lines, count)
    return total, left_out


def _clear(
    output: str, layout: Layout, found: Mapping[str, Any], variant: str | None
) -> FileCounts:
    """Remove the files of hours of which an erasure left nothing, and which so are not listed."""
    from driftline.capture.sagemaker.capture_files import FileCounts, written_hours

    counts = FileCounts()
    if found["erased_from"] is None:
        return counts
    first, last = (datetime.fromisoformat(found[key]) for key in ("erased_from", "before"))
    listed = {(one["variant"], datetime.fromisoformat(one["start"])) for one in found["items"]}
    endpoint = found["endpoint"]
    folder = endpoint if layout == "endpoint" else f"data/{endpoint}"
    for name, at in written_hours(output, folder, first, last):
        # Records without a variant lie there, too.
        for one in (name, "") if name == "AllTraffic" else (name,):
            if (one, at) not in listed and variant in (None, one):
                counts += _write_hour(layout, (output, endpoint, one, at), [])[0]
    return counts


def _write_hour(
    layout: Layout, place: tuple[str, str, str, datetime], lines: Iterable[bytes]
) -> tuple[FileCounts, int]:
    """Write the files of one hour; give also how many requests could not be written as lines."""
    from driftline.capture.sagemaker.capture_files import write_batch_hour, write_hour

    if layout == "batch":
        return write_batch_hour(*place, map(read_line, lines))
    return write_hour(*place, lines), 0


@capture.command("import")
@options.with_server
def load(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH|URI…", help="Capture files: files, folders, globs, s3://…"),
    ],
    endpoint: Annotated[str, typer.Option("--endpoint", help="Endpoint that they belong to.")],
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="Variant [that in SageMaker's path, or AllTraffic]."),
    ] = None,
    layout: Annotated[
        Layout, typer.Option("--layout", help="An endpoint's capture, or manifests of a batch.")
    ] = "endpoint",
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DIR|URI", help="Where a batch's objects lie now."),
    ] = None,
    keep_old: Annotated[
        bool,
        typer.Option("--older", help="Import also what retention removes within the hour."),
    ] = False,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Store SageMaker's capture files as captured records, each record once.

    What is there already, by its event id, is left out, so it may run again and again, and go on
    where it was killed. Lines that are no records are counted and shown, and stop nothing. Times
    are those of the lines.

    Example: driftline capture import captured/flights --endpoint flights
    """
    from driftline.app.commands.capture_sources import find_sources

    options.open_places(*paths, data or "", config_file=server.config_file)
    sources = find_sources(paths, layout, data)
    with server.connect() as client:
        facts = client.import_facts(endpoint)
        with progress("reading", unit="lines") as advance:
            seen = _look(sources, facts["keep_from"], advance)
        declared = [] if facts["typed"] else [one["name"] for one in client.list("Endpoint")]
        _warn(facts, seen, declared, keep_old=keep_old)
        total = _Total()
        with progress("importing", unit="lines") as advance:
            for chunk in _chunks(sources, variant, total):
                total.add(chunk, _send(client, facts["endpoint"], chunk))
                advance(total.counts["lines"], seen.lines)
    value = {"endpoint": facts["endpoint"], "typed": facts["typed"], **total.counts}
    lines = _imported(facts["endpoint"], total)
    Answer({**value, "bad_lines": total.bad}, lines).print(as_json=as_json)
    if total.counts["bad"] and total.counts["bad"] == total.counts["lines"]:
        raise InputError(
            f"{', '.join(paths[:PLACES_SHOWN])}: none of {total.counts['lines']:,} lines is a "
            "record; expected SageMaker's capture lines, one JSON object each"
        )


@dataclass(slots=True)
class _Seen:
    """What a first look at the files found."""

    lines: int = 0
    old: int = 0
    oldest: datetime | None = None


@dataclass(slots=True)
class _Chunk:
    """Lines of one variant that go in one request, and where each came from."""

    variant: str
    lines: list[bytes] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    size: int = 0


class _Total:
    """Counts over all requests, and the first of the bad lines."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(
            dict.fromkeys(("lines", "imported", "rows", "known", "erased", "unparsed", "bad"), 0)
        )
        self.bad: list[dict[str, str]] = []

    def add(self, chunk: _Chunk, answer: Mapping[str, Any]) -> None:
        """Add what the server said of one request."""
        for name in ("lines", "imported", "rows", "known", "erased", "unparsed"):
            self.counts[name] += answer[name]
        self.counts["bad"] += len(answer["bad"])
        self.bad += [
            {"place": chunk.places[one["index"]], "reason": one["reason"]} for one in answer["bad"]
        ]

    def add_bad(self, place: str, error: LineError) -> None:
        """Count a line that no request can carry."""
        self.counts.update(("lines", "bad"))
        self.bad.append({"place": place, "reason": str(error)})


def _look(sources: Sequence[Source], keep_from: str, advance: Any) -> _Seen:  # noqa: ANN401 - a function of progress
    """Count lines, and those of days that retention does not keep."""
    seen = _Seen()
    for source in sources:
        for _, text in source.lines():
            seen.lines += 1
            if isinstance(text, LineError):
                continue
            try:
                time = read_line(text).time
            except LineError:
                continue
            if time is not None and time.date().isoformat() < keep_from:
                seen.old += 1
                seen.oldest = min(time, seen.oldest or time)
        advance(seen.lines, None)
    return seen


def _warn(facts: Mapping[str, Any], seen: _Seen, declared: list[str], *, keep_old: bool) -> None:
    if not facts["typed"]:
        near = difflib.get_close_matches(facts["endpoint"], declared, n=1)
        meant = f'; did you mean "{near[0]}"?' if near else ""
        typer.echo(
            f'endpoint "{facts["endpoint"]}" has no signature: bodies are kept raw, and monitors '
            f"cannot judge them; declare it first (driftline init, driftline apply){meant}",
            err=True,
        )
    if seen.oldest is None:
        return
    days = (datetime.now(UTC) - seen.oldest).days + 2
    message = (
        f"{seen.old:,} of {seen.lines:,} lines are older than [capture] retention_days = "
        f"{facts['retention_days']} (the oldest of {seen.oldest:%Y-%m-%d}) and would be removed "
        f"again within the hour; set retention_days to {days} or more and start driftline again"
    )
    if not keep_old:
        raise InputError(f"{message}, or import them nevertheless with --older")
    typer.echo(message, err=True)


def _chunks(sources: Sequence[Source], variant: str | None, total: _Total) -> Iterator[_Chunk]:
    """Put lines together to requests; what is no line is counted at once."""
    chunk: _Chunk | None = None
    for source in sources:
        name = variant or source.variant or "AllTraffic"
        for place, text in source.lines():
            if isinstance(text, LineError):
                total.add_bad(place, text)
                continue
            if chunk is not None and (
                chunk.variant != name
                or len(chunk.lines) >= CHUNK_LINES
                or chunk.size + len(text) > CHUNK_BYTES
            ):
                yield chunk
                chunk = None
            chunk = chunk or _Chunk(name)
            chunk.lines.append(text)
            chunk.places.append(place)
            chunk.size += len(text) + 1
    if chunk is not None:
        yield chunk


def _send(client: Client, endpoint: str, chunk: _Chunk) -> Mapping[str, Any]:
    try:
        return client.import_lines(endpoint, b"\n".join(chunk.lines), variant=chunk.variant)
    except InputError as error:
        if len(chunk.lines) > 1:
            raise
        # A line by itself that the server does not take, such as one beyond its limit of a body.
        zeros = dict.fromkeys(("imported", "rows", "known", "erased", "unparsed"), 0)
        return {**zeros, "lines": 1, "bad": [{"index": 0, "reason": str(error)}]}


def _imported(endpoint: str, total: _Total) -> Iterator[str]:
    counts = total.counts
    yield (
        f"{counts['imported']:,} records imported into {endpoint} ({counts['rows']:,} "
        f"rows) of {counts['lines']:,} lines; {counts['known']:,} there already, "
        f"{counts['bad']:,} bad"
        + (f", {counts['unparsed']:,} kept raw" if counts["unparsed"] else "")
        + (f", {counts['erased']:,} to be erased" if counts["erased"] else "")
    )
    places: dict[str, list[str]] = {}
    for one in total.bad:
        places.setdefault(one["reason"], []).append(one["place"])
    for reason, held in list(places.items())[:BAD_SHOWN]:
        shown = ", ".join(held[:PLACES_SHOWN]) + (" …" if len(held) > PLACES_SHOWN else "")
        count = f" ({len(held):,} lines)" if len(held) > 1 else ""
        typer.echo(f"{shown}: {reason}{count}", err=True)
    if len(places) > BAD_SHOWN:
        typer.echo(f"{len(places) - BAD_SHOWN:,} more reasons with --json", err=True)
