"""Commands on captured rows: counted, brought out and in as SageMaker's files, and their labels."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.app.progress import Advance, progress
from driftline.errors import InputError
from driftline.formats.capture_line import LineError, read_line, write_line
from driftline.storage import use_options

if TYPE_CHECKING:
    import pyarrow as pa

    from driftline.capture.labels.records import LabelNames
    from driftline.formats.location import Location

capture = options.Group(help="Look at what was captured, export, import and erase it.")
truth = options.Group(help="Load ground truth labels.")

Layout = Literal["endpoint", "batch"]
# A line of a file, its place, and the variant that the file's path names.
Found = tuple[str | None, str, bytes | LineError]

# What one request carries: well below the server's limit, and quick enough to be shown as progress.
CHUNK_LINES = 5_000
CHUNK_BYTES = 8 << 20
LABELS_PER_REQUEST = 50_000  # Some 3 MB of CSV with ids of 36 letters.
BAD_SHOWN, BAD_KEPT, DAYS_SHOWN = 10, 10_000, 14
COUNTS = ("lines", "imported", "rows", "known", "erased", "unparsed", "bad")
LABEL_COUNTS = ("received", "stored", "duplicates", "conflicts", "empty")
# Their names are shorter than those of JSON, so that none is cut at 80 columns.
_DAY_COLUMNS = (
    "day requests labelled=labelled_requests partly=partly_labelled_requests share rows "
    "labelled_rows"
)


@capture.command("audit")
def make_audit(
    config_file: options.SettingsFile = None,
    full: Annotated[bool, "--full", "Look at each number, and say which are missing."] = False,
) -> Answer:
    """Check that every number a spool has given is stored once, or counted as lost.

    Reads the storage root of the settings; needs no server. Exit code 0: it adds up; 1: records are
    missing or doubled, or a file is gone; 3: it could not be decided; 4: the storage is not
    available.

    Example: driftline capture audit --full
    """
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.capture.audit.audit import audit
    from driftline.capture.audit.note import document_of, note_audit

    settings = options.load_process_settings(config_file)
    use_options(settings.storage.options, settings.buckets_dir)
    spool_dir = settings.spool_dir if settings.transport == "local" else None
    found = audit(settings.root, now=lambda: datetime.now(UTC), spool_dir=spool_dir, full=full)
    note_audit(settings.root, found)
    document = document_of(found)
    verdict = "adds up" if found.adds_up else "DOES NOT ADD UP"
    lines = [f"{verdict}: {found.numbers:,} numbers of {found.spools:,} spools"]
    lines += [
        f"{what} in {spool.spool_id} ({', '.join(spool.endpoints)}): "
        + ", ".join(f"{first}-{last}" for first, last in runs[:BAD_SHOWN])
        for spool in found.found
        for what, runs in (("missing", spool.missing_runs), ("doubled", spool.doubled_runs))
        if runs
    ]
    names = ("stored", "gaps", "erased", "expired", "in_flight", "missing", "doubled")
    counts = {name: document[name] for name in (*names, "topic_losses", "damaged")}
    return Answer(document, [*lines, *lines_of(counts)], code=0 if found.adds_up else 1)


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
    value = {
        "endpoint": endpoint, "before": found["before"], **asdict(total),
        "left_out": dict(left_out),
    }  # fmt: skip
    return Answer(value, lines_of(value))


@capture.command("import")
def load_lines(
    client: Client,
    paths: Annotated[list[str], "PATH|URI…", "Capture files: files, folders, globs, s3://…"],
    endpoint: Annotated[str, "--endpoint", "Endpoint that they belong to."],
    variant: Annotated[str | None, "Variant [that in SageMaker's path, or AllTraffic]."] = None,
    layout: Annotated[Layout, "An endpoint's capture, or manifests of a batch."] = "endpoint",
    data: Annotated[str | None, "--data DIR|URI", "Where a batch's objects lie now."] = None,
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
    found = _recent(captured_lines(paths, layout, data), facts)
    with progress("importing", unit="lines") as advance:
        for chunk in _chunks(found, variant):
            places, answer = [place for _, place, _ in chunk], _send(client, facts, chunk)
            counts.update(
                {name: answer[name] for name in COUNTS[:-1]} | {"bad": len(answer["bad"])}
            )
            for one in answer["bad"][: BAD_KEPT - len(bad)]:
                bad.append({"place": places[one["index"]], "reason": one["reason"]})
            advance(counts["lines"], None)
    value = {"endpoint": facts["endpoint"], "typed": facts["typed"], **counts, "bad_lines": bad}
    is_nothing = counts["bad"] and counts["bad"] == counts["lines"]
    reasons: dict[str, list[str]] = {}
    for one in bad:
        reasons.setdefault(one["reason"], []).append(one["place"])
    shown = [
        {"first": held[0], "lines": len(held), "reason": reason}
        for reason, held in list(reasons.items())[:BAD_SHOWN]
    ]
    return Answer(value, lines_of({**value, "bad_lines": shown}), code=2 if is_nothing else 0)


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
        "again within the hour; raise that and start driftline again"
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


@truth.command("load")
def load_labels(
    client: Client,
    file: Annotated[
        list[str], "PATH|URI…", "JSON Lines (SageMaker's or plain), JSON, CSV, Parquet."
    ],
    endpoint: Annotated[str, "--endpoint", "Endpoint that was asked."],
    label: Annotated[str, "--label COL", "Column with the true answer."] = "label",
    id_column: Annotated[
        str | None, "--id COL", "Column with the event id or inference id [id, …_id]."
    ] = None,
    row_index: Annotated[
        str, "--row-index COL", "Column with the row in the request."
    ] = "row_index",
) -> Answer:
    """Send labels of captured rows; of several for one row the last one counts.

    All files are read once before anything is sent, so a file with something wrong in it changes
    nothing. Loading the same again is safe. Windows that labels belong to are judged again by
    monitors that use labels. What fits nothing is told by: driftline truth report.

    Example: driftline truth load labels.csv --endpoint flights
    """
    from driftline.capture.labels.records import LabelNames
    from driftline.formats.data_files import data_files

    names = LabelNames(id_column, label, row_index)
    options.open_places(*file, config_file=client.config_file)
    files = [place for path in file for place in data_files(path)]
    with progress("reading", unit="labels") as advance:
        count = sum(part.num_rows for part in _parts(files, names, advance, None))
    total: Counter[str] = Counter(dict.fromkeys(LABEL_COUNTS, 0))
    with progress("loading", unit="labels") as advance:
        for part in _parts(files, names, advance, count):
            found = client.put_truth(endpoint, _csv(part))
            total.update({key: found[key] for key in LABEL_COUNTS})
    value = {"endpoint": endpoint, "files": [one.shown for one in files], **total}
    return Answer(value, lines_of(value))


def _report(found: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str | Table]:
    days = found["days"] if asked["first"] or asked["last"] else found["days"][-DAYS_SHOWN:]
    rows = [day | {"share": f"{day['share']:.1%}" if day["requests"] else None} for day in days]
    yield from lines_of(rows, _DAY_COLUMNS)
    yield from lines_of({key: one for key, one in found.items() if key != "days" and one})


def _parts(
    files: list[Location], names: LabelNames, advance: Advance, total: int | None
) -> Iterator[pa.Table]:
    from driftline.capture.labels.files import read_label_file

    done = 0
    for file in files:
        for table in read_label_file(file, names):
            for at in range(0, table.num_rows, LABELS_PER_REQUEST):
                part = table.slice(at, LABELS_PER_REQUEST)
                yield part
                done += part.num_rows
                advance(done, total)


def _csv(labels: pa.Table) -> bytes:
    import pyarrow.csv as pacsv

    sink = io.BytesIO()
    pacsv.write_csv(labels.rename_columns(["id", "row_index", "label"]), sink)
    return sink.getvalue()


add_operations(capture, "capture")
add_operations(truth, "truth", {"report": _report})
