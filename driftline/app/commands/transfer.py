"""Commands that bring captured records out as SageMaker's files, and such files in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.capture import capture
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, harmless
from driftline.app.progress import progress
from driftline.errors import InputError
from driftline.formats.capture_line import LineError, read_line, write_line

Layout = Literal["endpoint", "batch"]
# A line of a file, its place, and the variant that the file's path names.
Found = tuple[str | None, str, bytes | LineError]

# What one request carries: well below the server's limit, and quick enough to be shown as progress.
CHUNK_LINES = 5_000
CHUNK_BYTES = 8 << 20
BAD_SHOWN, BAD_KEPT = 10, 10_000
COUNTS = ("lines", "imported", "rows", "known", "erased", "unparsed", "bad")


@capture.command("export")
def export(
    client: Client,
    endpoint: Annotated[str, "Endpoint whose captured records are written."],
    output: Annotated[str, "-o --output DIR|URI", "Where to."],
    start: Annotated[str | None, "--from TIME", "First hour [of the first record]."] = None,
    end: Annotated[str | None, "--to TIME", "End [the last hour that is over]."] = None,
    variant: Annotated[str | None, "Only this one [all]."] = None,
    layout: Annotated[Layout, "As an endpoint's capture, or a batch's."] = "endpoint",
) -> Answer:
    """Write captured records as SageMaker's capture files, one a minute, of hours that are over.

    DIR/ENDPOINT/VARIANT/yyyy/mm/dd/hh/mm-ss-ms-uuid.jsonl. Exporting again writes the same files:
    late records are added, erased ones go, and what broke off goes on. Requests that failed, and
    those whose bodies were cut, are left out and counted.

    Example: driftline capture export flights -o s3://bucket/captured --from 2026-01-15
    """
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.capture.sagemaker.capture_files import (
        FileCounts,
        write_batch_hour,
        write_hour,
        written_hours,
    )

    options.open_places(output, config_file=client.config_file)
    begin, last = options.moment(start, "--from"), options.moment(end, "--to")
    found = client.captured_hours(endpoint, start=begin, end=last, variant=variant)
    endpoint, total, left_out = found["endpoint"], FileCounts(), Counter[str]()
    hours: dict[tuple[str, datetime], Mapping[str, Any] | None] = {
        (one["variant"], datetime.fromisoformat(one["start"])): one for one in found["items"]
    }
    if found["erased_from"] is not None:
        # An erasure may have left nothing of an hour, which so is not listed: its files go.
        ends = (datetime.fromisoformat(found[key]) for key in ("erased_from", "before"))
        folder = endpoint if layout == "endpoint" else f"data/{endpoint}"
        for name, at in written_hours(output, folder, *ends):
            # Records without a variant lie there, too.
            for one in (name, "") if name == "AllTraffic" else (name,):
                if variant in (None, one):
                    hours.setdefault((one, at), None)
    count = sum(hour["lines"] for hour in found["items"])
    with progress("exporting", unit="lines") as advance:
        for (name, at), hour in hours.items():
            lines: Iterator[bytes] = iter(())
            if hour is not None:
                left_out.update(hour["left_out"])
                lines = client.captured_lines(endpoint, hour=hour["start"], variant=name)
            if layout == "batch":
                counts, uneven = write_batch_hour(output, endpoint, name, at, map(read_line, lines))
                left_out.update({"no_lines": uneven} if uneven else {})
            else:
                counts = write_hour(output, endpoint, name, at, lines)
            total += counts
            advance(total.lines, count)
    told = [
        f"{total.lines:,} lines of {endpoint} before {found['before']} in {output}: "
        f"{total.written:,} files written, {total.unchanged:,} there already, "
        f"{total.removed:,} removed"
    ]
    told += [f"left out: {count:,} {reason}" for reason, count in sorted(left_out.items())]
    about = {"endpoint": endpoint, "before": found["before"]}
    return Answer({**about, **asdict(total), "left_out": dict(left_out)}, told)


@capture.command("import")
def load(
    client: Client,
    paths: Annotated[list[str], "PATH|URI…", "Capture files: files, folders, globs, s3://…"],
    endpoint: Annotated[str, "--endpoint", "Endpoint that they belong to."],
    variant: Annotated[str | None, "Variant [that in SageMaker's path, or AllTraffic]."] = None,
    layout: Annotated[Layout, "An endpoint's capture, or manifests of a batch."] = "endpoint",
    data: Annotated[str | None, "--data DIR|URI", "Where a batch's objects lie now."] = None,
    keep_old: Annotated[
        bool, "--older", "Import also what retention removes within the hour."
    ] = False,
) -> Answer:
    """Store SageMaker's capture files as captured records, each record once.

    What is there already, by its event id, is left out, so it may run again and again, and go on
    where it was killed. Lines that are no records, or older than retention keeps them, are counted
    and shown, and stop nothing; where all are, the exit code is 2. Times are those of the lines.

    Example: driftline capture import captured/flights --endpoint flights
    """
    options.open_places(*paths, data, config_file=client.config_file)
    facts = client.import_facts(endpoint)
    if not facts["typed"]:
        typer.echo(
            f'endpoint "{facts["endpoint"]}" has no signature: bodies are kept raw, and monitors '
            "cannot judge them; declare it first (driftline init, driftline apply)",
            err=True,
        )
    counts, bad = Counter(dict.fromkeys(COUNTS, 0)), list[dict[str, str]]()
    found = captured_lines(paths, layout, data)
    with progress("importing", unit="lines") as advance:
        for chunk in _chunks(found if keep_old else _recent(found, facts), variant):
            places, answer = [place for _, place, _ in chunk], _send(client, facts, chunk)
            counts.update(
                {name: answer[name] for name in COUNTS[:-1]} | {"bad": len(answer["bad"])}
            )
            for one in answer["bad"][: BAD_KEPT - len(bad)]:
                bad.append({"place": places[one["index"]], "reason": one["reason"]})
            advance(counts["lines"], None)
    value = {"endpoint": facts["endpoint"], "typed": facts["typed"], **counts, "bad_lines": bad}
    is_nothing = counts["bad"] and counts["bad"] == counts["lines"]
    return Answer(value, _imported(value, counts), code=2 if is_nothing else 0)


def captured_lines(paths: Sequence[str], layout: Layout, data: str | None) -> Iterator[Found]:
    """Return the lines of files, folders, globs and URIs; or why one is none."""
    from driftline.capture.sagemaker import batch_files
    from driftline.capture.sagemaker.capture_files import read_capture_lines, variant_of
    from driftline.formats.data_files import data_files
    from driftline.storage import open_uri

    def opened(uri: str) -> Iterator[tuple[int, bytes]]:
        where = uri if data is None else f"{data.rstrip('/')}/{uri.rpartition('/')[2]}"
        system, path = open_uri(where)
        try:
            yield from read_capture_lines(system, path, where, one_a_line=True)
        except InputError as error:
            raise InputError(
                f"{error}; give the folder of the objects by --data if they were moved"
            ) from error

    files = [place for path in paths for place in data_files(path)]
    if layout == "endpoint":
        for place in files:
            variant = variant_of(place.path.replace("\\", "/"))
            for number, text in read_capture_lines(place.system, place.path, place.shown):
                if text.strip():
                    yield variant, f"{place.shown}:{number}", text
        return
    # The objects themselves may lie beside them; one that was named by itself is told to be none.
    chosen = [place for place in files if batch_files.is_manifest(place.path)] or files
    manifests = [batch_files.read_manifest(place.path, place.read()) for place in chosen]
    for one in batch_files.pair_objects(manifests):
        given = None if one.input is None else opened(one.input)
        for number, line in batch_files.pair_lines(opened(one.output), given, one):
            sent = line if isinstance(line, LineError) else write_line(line).encode()
            yield None, f"{one.output}:{number}", sent


def _recent(found: Iterator[Found], facts: Mapping[str, Any]) -> Iterator[Found]:
    """Return lines; those that retention would remove within the hour are none."""
    old = LineError(
        f"older than [capture] retention_days = {facts['retention_days']}, and would be removed "
        "again within the hour; raise that and start driftline again, or add --older"
    )
    for variant, place, text in found:
        is_old = False
        if not isinstance(text, LineError):
            try:
                time = read_line(text).time
                is_old = time is not None and time.date().isoformat() < facts["keep_from"]
            except LineError:
                pass  # The server says why.
        yield variant, place, old if is_old else text


def _chunks(found: Iterator[Found], variant: str | None) -> Iterator[list[Found]]:
    """Put lines of one variant together to requests; what is no line stays with them."""
    chunk: list[Found] = []
    size = 0
    for own, place, text in found:
        name = variant or own or "AllTraffic"
        length = len(text) if isinstance(text, bytes) else 0
        is_full = len(chunk) >= CHUNK_LINES or size + length > CHUNK_BYTES
        if chunk and (is_full or chunk[0][0] != name):
            yield chunk
            chunk, size = [], 0
        chunk.append((name, place, text))
        size += length + 1
    if chunk:
        yield chunk


def _send(client: Client, facts: Mapping[str, Any], chunk: list[Found]) -> dict[str, Any]:
    """Send the lines of a chunk; what is none, or is refused by itself, is bad."""
    sent = {at: text for at, (_, _, text) in enumerate(chunk) if isinstance(text, bytes)}
    bad = [{"index": at, "reason": str(text)} for at, (_, _, text) in enumerate(chunk)
           if at not in sent]  # fmt: skip
    answer: dict[str, Any] = dict.fromkeys(COUNTS, 0)
    places, body = [*sent], b"\n".join(sent.values())
    try:
        if sent:
            answer |= client.import_lines(facts["endpoint"], body, variant=chunk[0][0] or "")
            bad += [{**one, "index": places[one["index"]]} for one in answer["bad"]]
    except InputError as error:
        if len(sent) > 1:
            raise
        # A line by itself that the server does not take, such as one beyond its limit of a body.
        bad.append({"index": places[0], "reason": str(error)})
    return {**answer, "lines": len(chunk), "bad": bad}


def _imported(value: Mapping[str, Any], counts: Counter[str]) -> Iterator[str]:
    yield (
        f"{counts['imported']:,} records imported into {value['endpoint']} ({counts['rows']:,} "
        f"rows) of {counts['lines']:,} lines; {counts['known']:,} there already, "
        f"{counts['bad']:,} bad"
        + (f", {counts['unparsed']:,} kept raw" if counts["unparsed"] else "")
        + (f", {counts['erased']:,} to be erased" if counts["erased"] else "")
    )
    places: dict[str, list[str]] = {}
    for one in value["bad_lines"]:
        places.setdefault(one["reason"], []).append(one["place"])
    for reason, held in list(places.items())[:BAD_SHOWN]:
        count = f" and {len(held) - 1:,} more lines" if len(held) > 1 else ""
        typer.echo(harmless(f"{held[0]}{count}: {reason}"), err=True)
    if len(places) > BAD_SHOWN:
        typer.echo(f"{len(places) - BAD_SHOWN:,} more reasons with --json", err=True)
