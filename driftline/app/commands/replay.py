"""Command that sends captured requests to another model and compares what is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.capture import capture
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.progress import progress
from driftline.errors import InputError
from driftline.formats.capture_line import CaptureLine, read_line

if TYPE_CHECKING:
    import pyarrow as pa

    from driftline.app.replay.sending import Answer as Reply
    from driftline.app.replay.sending import Sender, Target
    from driftline.signature import Signature

# Requests whose answers are read together.
CHUNK = 256


@capture.command("replay")
@options.asks_server
def replay(
    client: Client,
    endpoint: Annotated[str, typer.Argument(help="Endpoint whose captured requests are sent.")],
    model: Annotated[
        str | None, typer.Option("--model", help="To this declared model, as if it served them.")
    ] = None,
    other: Annotated[
        str | None, typer.Option("--endpoint", help="To this endpoint of the same server.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="To any address, by POST.")] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="Only requests of rows that were exported."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First hour [the first record's].")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End [the last hour that is over].")
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Only what this one answered [all].")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.parquet", help="All pairs.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Most requests a second [as they are answered].")
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help="Requests open at one time.")
    ] = 4,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Numbers so close are the same.")
    ] = 1e-9,
) -> Answer:
    """Send captured requests to another model, and lay its answers beside those of then.

    Of hours that are over. With --model and --endpoint nothing is captured; requests to a --url
    carry the header X-Driftline-Replay. The file of pairs has a line for each row: the outputs
    before and after, whether they differ, by how much.

    Example: driftline capture replay flights --model flights-2 --rows bad.parquet -o pairs.parquet
    """
    _refuse(start, end, output, targets=(model, other, url))
    chosen = None if rows is None else _Chosen.read(rows)
    span = {"from": start, "to": end, "variant": variant}
    given = {name: value for name, value in span.items() if value}
    with ExitStack() as stack:
        target = _target(client, endpoint, model=model, other=other, url=url)
        # A heavy import, which only this command needs.
        from driftline.app.replay.sending import Sender

        sender = Sender(target, rate=rate, parallel=parallel)
        stack.callback(sender.close)
        told = _replayed(client, endpoint, sender, chosen, given, output, tolerance)
    told["target"] = target.name
    return Answer(told, _lines(told), code=0 if told["compared"] else 3)


def _refuse(
    start: str | None, end: str | None, output: Path | None, *, targets: tuple[str | None, ...]
) -> None:
    """Refuse what does not go together, before anything is asked."""
    if sum(one is not None for one in targets) != 1:
        raise InputError("replay: expected one of --model, --endpoint and --url")
    if output is not None and output.suffix.lower() != ".parquet":
        raise InputError(f"{output}: expected a file that ends in .parquet")
    first, last = options.moment(start, "--from"), options.moment(end, "--to")
    if first is not None and last is not None and last <= first:
        raise InputError(f"--from {start} --to {end}: expected the end after the start")


def _replayed(
    client: Client,
    endpoint: str,
    sender: Sender,
    chosen: _Chosen | None,
    given: Mapping[str, str],
    output: Path | None,
    tolerance: float,
) -> dict[str, Any]:
    """Send what was captured, and tell what came of it."""
    # Heavy imports, which only this command needs.
    from driftline.app.replay.comparison import Differences, compare
    from driftline.monitors.root_cause.export import replace_file, written

    signature = _signature(client, endpoint)
    hours = {**(chosen.span if chosen else {}), **given}
    found = client.captured_hours(
        endpoint, start=hours.get("from"), end=hours.get("to"), variant=hours.get("variant")
    )
    lines = _Lines(client, found, chosen)
    total, expected = Differences(), None if chosen is not None else lines.count
    compared = partial(compare, total, signature, tolerance=tolerance)
    with progress("replaying", unit="requests") as advance:
        batches = _batches(sender.send(lines), compared, lambda: advance(total.requests, expected))
        if output is None:
            for _ in batches:
                pass
        else:
            replace_file(output, written(batches, "parquet"))
    if not total.requests:
        typer.echo(_nothing(client, found, given, chosen), err=True)
    return {
        "endpoint": found["endpoint"],
        "target": "",
        "before": found["before"],
        "left_out": dict(sorted(lines.left_out.items())),
        "pairs": None if output is None else str(output),
        **total.to_dict(),
    }


def _nothing(
    client: Client, found: Mapping[str, Any], given: Mapping[str, str], chosen: _Chosen | None
) -> str:
    """Return why no request was sent."""
    name, variant = found["endpoint"], given.get("variant")
    if variant is not None and not found["items"]:
        known = sorted({hour["variant"] for hour in client.captured_hours(name)["items"]})
        if known and variant not in known:
            raise InputError(
                f'--variant "{variant}": {name} captured nothing of it; expected one of '
                f"{', '.join(known)}"
            )
    if chosen is not None:
        return (
            f"no request of these rows is kept of endpoint {name}: they are another endpoint's, "
            "past retention, or of an hour that is not over"
        )
    since = f"from {given['from']} " if "from" in given else ""
    return (
        f"no request of {name} {since}before {found['before']} can be sent: only what was captured "
        "whole, in hours that are over"
    )


def _target(
    client: Client, endpoint: str, *, model: str | None, other: str | None, url: str | None
) -> Target:
    """Return where requests go; declarations are read first, so that a wrong name is reported."""
    from driftline.app.client.connection import in_path
    from driftline.app.replay.sending import Target

    if url is not None:
        if url.startswith(f"{client.server}/endpoints/"):
            raise InputError(
                f'--url "{url}": would be captured as production; give --endpoint with its name'
            )
        return Target(url, url)
    path = f"{client.server}/api/v1/endpoints/"
    if model is not None:
        name = client.get("Model", model)["name"]
        asked = f"{path}{in_path(endpoint)}/predictions"
        return Target(asked, f"model {name}", {"model": name}, client.shown, client.verify)
    assert other is not None
    name = client.get("Endpoint", other)["name"]
    asked = f"{path}{in_path(name)}/predictions"
    return Target(asked, f"endpoint {name}", {}, client.shown, client.verify)


def _signature(client: Client, endpoint: str) -> Signature | None:
    import json

    from driftline.signature import Signature

    found = client.get("Endpoint", endpoint)["status"]["signature"]
    return None if found is None else Signature.from_json(json.dumps(found))


@dataclass(frozen=True)
class _Chosen:
    """Requests of rows that were exported, and the hours in which they came."""

    events: frozenset[str]
    span: Mapping[str, str]

    @classmethod
    def read(cls, file: Path) -> _Chosen:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.csv as pacsv
        import pyarrow.parquet as pq

        names = ["event_id", "event_time"]
        try:
            if file.suffix.lower() == ".parquet":
                table = pq.read_table(file, columns=names)
            else:
                kept = pacsv.ConvertOptions(
                    include_columns=names,
                    column_types={"event_id": pa.string(), "event_time": pa.timestamp("us", "UTC")},
                )
                table = pacsv.read_csv(file, convert_options=kept)
            times = table["event_time"].cast(pa.timestamp("us", "UTC"))
        except (OSError, pa.ArrowException, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{file}: cannot be read ({reason}); expected rows of driftline monitor rows, with "
                "event_id and event_time"
            ) from error
        if times.null_count == len(times):
            raise InputError(f"{file}: no rows with an event_time; export them again")
        span = pc.min_max(times).as_py()
        first: datetime = span["min"].replace(minute=0, second=0, microsecond=0)
        last = span["max"].replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        events = frozenset(table["event_id"].to_pylist())
        return cls(events, {"from": first.isoformat(), "to": last.isoformat()})


class _Lines:
    """The captured requests that are to be sent."""

    def __init__(self, client: Client, found: Mapping[str, Any], chosen: _Chosen | None) -> None:
        self._client, self._found, self._chosen = client, found, chosen
        self.left_out: Counter[str] = Counter()
        self.count = sum(hour["lines"] for hour in found["items"])
        if chosen is None:
            for hour in found["items"]:
                self.left_out.update(hour["left_out"])

    def __iter__(self) -> Iterator[CaptureLine]:
        sent: set[str] = set()
        for hour in self._found["items"]:
            for text in self._client.captured_lines(
                self._found["endpoint"], hour=hour["start"], variant=hour["variant"]
            ):
                line = read_line(text)
                if self._chosen is None:
                    yield line
                elif line.event_id in self._chosen.events:
                    sent.add(line.event_id)
                    yield line
        if self._chosen is not None and (missing := len(self._chosen.events - sent)):
            self.left_out["not_kept"] = missing


def _batches(
    pairs: Iterator[tuple[CaptureLine, Reply]],
    compared: Callable[[Sequence[tuple[CaptureLine, Reply]]], pa.Table],
    advance: Callable[[], None],
) -> Iterator[pa.RecordBatch]:
    """Return what was compared, some requests at a time."""
    # At least once, so that the file has its columns even without a row.
    chunk = list(islice(pairs, CHUNK))
    while True:
        table = compared(chunk)
        yield table.combine_chunks().to_batches()[0] if len(table) else _none(table)
        advance()
        if not (chunk := list(islice(pairs, CHUNK))):
            return


def _none(table: pa.Table) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema=table.schema)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{told['requests']:,} requests of {told['endpoint']} sent to {told['target']}: "
        f"{told['rows']:,} rows answered, {told['failed']:,} requests not"
    )
    for reason, count in told["failures"].items():
        yield f"  {reason}: {count:,}"
    if told["compared"]:
        low, high = 100 * told["share_low"], 100 * told["share_high"]
        yield (
            f"{told['differing']:,} of {told['compared']:,} rows differ: "
            f"{100 * told['share_differing']:.3g}% ({low:.3g} to {high:.3g}%)"
        )
    if told["unread"]:
        yield f"{told['unread']:,} rows could not be read on one side"
    for name, one in told["columns"].items():
        yield (
            f"{name}: mean change {one['mean_change']:+.4g}{_interval(one)}, mean size "
            f"{one['mean_size']:.4g}, greatest {one['greatest_size']:.4g}"
        )
    if told["latency_ms_p50"] is not None:
        yield (
            f"latency {told['latency_ms_p50']:.1f} ms in the median, "
            f"{told['latency_ms_p99']:.1f} ms at 99%"
        )
    if told["left_out"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in told["left_out"].items())
        typer.echo(f"left out: {reasons}", err=True)


def _interval(one: dict[str, Any]) -> str:
    if one["mean_change_low"] is None:
        return ""
    return f" ({one['mean_change_low']:+.4g} to {one['mean_change_high']:+.4g})"
