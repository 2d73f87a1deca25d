"""Malformed inputs: each a clear error or a correct result. test_malformed.py runs it as a program.

Inputs are made wrong by number (`malformed.py`) and judged in a child process, which is started
anew when a native reader takes it down or when it does not answer. Read are: files of data, opened,
read twice, and every fourth also made a baseline of and checked; documents, as part of a baseline
folder that is loaded and checked against. A result is held against an independent reading of the
same bytes where there is one: Python's csv for CSV, its json for JSON Lines.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa
from malformed import DOCUMENTS, KINDS, Malformed, good_table, make, samples

from driftline.baseline.store import Baseline
from driftline.errors import DriftlineError
from driftline.formats.source import Source, open_source
from driftline.monitors.check import check

HANGS_S = 60
MEMORY_BYTES = 5 << 29
# A file that claims to be huge makes the allocator reserve address space that it keeps, and that
# counts against the bound: after tens of thousands of them a child could not read any file.
CHILD_INPUTS = 5_000
LONGEST = 600
LATER = 4
GOOD, REFUSED = "read", "refused"
BAD = ("wrong", "traceback", "crash", "hang")


class WrongResultError(Exception):
    """What was read is not what the file holds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input."""

    number: int
    kind: str
    name: str
    change: str
    outcome: str
    told: str
    took_s: float


class Judge:
    """Reads inputs and says what became of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = good_table()
        self._baseline = Baseline.fit(self._table)
        self._baseline.save(str(folder / "good"))
        self.good = samples()
        self.good["document"] = {name: (folder / "good" / name).read_bytes() for name in DOCUMENTS}

    def judge(self, number: int, made: Malformed) -> Outcome:
        """Try one input."""
        begin = time.perf_counter()
        try:
            if made.kind == "document":
                self._try_document(made)
            else:
                self._try_data(number, made)
            outcome, told = GOOD, ""
        except DriftlineError as error:
            told = str(error)
            bad = not told or "\n" in told or "\r" in told or len(told) > LONGEST
            outcome = "wrong" if bad else REFUSED
        except WrongResultError as error:
            outcome, told = "wrong", str(error)
        except Exception as error:  # noqa: BLE001 # What is looked for.
            outcome, told = "traceback", f"{_place(error)} {type(error).__name__}: {error}"
        took = time.perf_counter() - begin
        return Outcome(number, made.kind, made.name, made.change, outcome, told, took)

    def _try_data(self, number: int, made: Malformed) -> None:
        path = self._folder / made.name
        path.write_bytes(made.content)
        signature = self._baseline.signature if number // len(KINDS) % 2 else None
        source = open_source(path, signature=signature)
        batches = list(source.batches())
        for batch in batches:
            batch.validate(full=True)
        table = pa.Table.from_batches(batches, source.schema)
        if source.row_count not in (None, table.num_rows):
            raise WrongResultError(f"{source.row_count} rows told, {table.num_rows} read")
        again = pa.Table.from_batches(source.batches(), source.schema)
        if _bytes(again) != _bytes(table):
            raise WrongResultError("the second reading gives other rows")
        _hold_against(made, source, table)
        if number // len(KINDS) % LATER == 0:
            _use(check(path, self._baseline))
            Baseline.fit(path)

    def _try_document(self, made: Malformed) -> None:
        folder = self._folder / "bad"
        folder.mkdir(exist_ok=True)
        for name in DOCUMENTS:
            (folder / name).write_bytes(
                made.content if name == made.name else self.good["document"][name]
            )
        baseline = Baseline.load(str(folder))
        _use(check(self._table, baseline))
        repr(baseline)
        baseline.save(str(self._folder / "again"))


def _bytes(table: pa.Table) -> bytes:
    """Write a table, for comparison: NaN is equal to itself there."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def _use(report: object) -> None:
    json.dumps(report.to_dict(), allow_nan=True)  # type: ignore[attr-defined]


def _place(error: BaseException) -> str:
    trace, found = error.__traceback__, "?"
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "driftline" in name:
            found = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _hold_against(made: Malformed, source: Source, table: pa.Table) -> None:
    """Compare with an independent reading of the same bytes."""
    try:
        text = made.content.decode("utf-8")
    except UnicodeDecodeError:
        return
    if made.kind == "csv" and source.textual and "\x00" not in text:
        _hold_csv(text.removeprefix("\ufeff"), table)
    if made.kind == "json" and not text.lstrip().startswith("["):
        _hold_lines(text.removeprefix("\ufeff"), table)


def _hold_csv(text: str, table: pa.Table) -> None:
    found: list[list[list[str]]] = []
    for delimiter in ",;\t|":
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            rows = [row for row in reader if row]
        except csv.Error:
            continue
        if rows and {len(row) for row in rows[1:]} <= {table.num_columns}:
            found.append(rows)
    if text.startswith("sep="):
        return
    if not any(table.num_rows in (len(rows), len(rows) - 1) for rows in found):
        raise WrongResultError(f"{table.num_rows} rows read; csv finds others or an error")
    if not any(_same_texts(rows, table) for rows in found):
        raise WrongResultError("csv reads other values")


def _same_texts(rows: list[list[str]], table: pa.Table) -> bool:
    rows = rows[len(rows) - table.num_rows :]
    for index, column in enumerate(table.columns):
        values = [row[index] for row in rows]
        if pa.types.is_string(column.type):
            if [value or "" for value in column.to_pylist()] != values:
                return False
        elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            for value, field in zip(column.to_pylist(), values, strict=True):
                if value is not None and not _same_number(value, field):
                    return False
    return True


def _same_number(value: float, field: str) -> bool:
    for text in (field, field.replace(",", ".")):
        try:
            found = float(text.strip(" \t"))
        except ValueError:
            continue
        if found == value or (math.isnan(found) and math.isnan(value)):
            return True
        return math.isclose(found, value, rel_tol=1e-15)
    return False


def _hold_lines(text: str, table: pa.Table) -> None:
    try:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        return  # Perhaps one document over many lines.
    plain = all(isinstance(row, dict) for row in rows)
    if not plain or any(
        isinstance(row.get(key), list | dict)
        for row in rows
        for key in ("instances", "predictions", "features")
    ):
        return
    if len(rows) != table.num_rows:
        raise WrongResultError(f"{table.num_rows} rows read of {len(rows)} lines")
    for name in table.column_names:
        values = [row.get(name) for row in rows]
        found = table.column(name).to_pylist()
        for value, was in zip(found, values, strict=True):
            number = isinstance(was, int | float) and not isinstance(was, bool)
            if number and isinstance(value, int | float) and value != was and was == was:
                raise WrongResultError(f"{was} read as {value}")


def work(first: int, last: int, seed: int) -> None:
    """Judge inputs in this process, telling each on standard output before and after."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(Path(folder))
        for number in range(first, last):
            made = make(number, seed, judge.good)
            print(json.dumps([number, made.kind, made.name, made.change]), flush=True)
            found = judge.judge(number, made)
            told = found.told.replace(folder, "…")
            print(json.dumps([found.outcome, told, found.took_s]), flush=True)


def run(count: int, seed: int) -> Iterator[Outcome]:
    """Judge inputs in child processes, one after the other; a lost one is replaced."""
    number = 0
    while number < count:
        last = min(number + CHILD_INPUTS, count)
        command = [sys.executable, __file__, "--worker", str(number), str(last), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            for outcome in _follow(child):
                yield outcome
                number = outcome.number + 1
            child.kill()
            if child.wait() and number < count and child.stderr is not None:
                sys.stderr.write(child.stderr.read().decode(errors="replace")[-2000:])


def _follow(child: subprocess.Popen[bytes]) -> Iterator[Outcome]:
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    begun: list[object] | None = None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(HANGS_S):
                if begun is None:
                    raise RuntimeError("the child does not start")
                yield _outcome(begun, "hang", f"no answer in {HANGS_S} s", HANGS_S)
                return
            found = child.stdout.read()
            if found == b"":
                break
            *lines, rest = (rest + (found or b"")).split(b"\n")
            for line in lines:
                told = json.loads(line)
                if len(told) == 4:
                    begun = told
                else:
                    assert begun is not None
                    yield _outcome(begun, told[0], told[1], told[2])
                    begun = None
    if begun is not None:
        yield _outcome(begun, "crash", f"exit code {child.wait()}", 0.0)
    elif child.wait():
        raise RuntimeError(f"the child ended by itself, exit code {child.returncode}")


def _outcome(begun: list[object], outcome: str, told: str, took_s: float) -> Outcome:
    number, kind, name, change = begun
    return Outcome(int(str(number)), str(kind), str(name), str(change), outcome, told, took_s)


def main() -> int:
    """Run, print what is wrong; 1 when something is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", nargs=3, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        work(*asked.worker)
        return 0
    found = []
    for one in run(asked.count, asked.seed):
        found.append(one)
        if one.outcome in BAD:
            print(f"{one.number} {one.kind} {one.name} {one.change}: {one.outcome}: {one.told}")
        if len(found) % 5000 == 0:
            print(f"{len(found):,} done", file=sys.stderr, flush=True)
    totals = Counter(one.outcome for one in found)
    print(", ".join(f"{name}: {totals[name]}" for name in (GOOD, REFUSED, *BAD)))
    return int(any(totals[name] for name in BAD))


if __name__ == "__main__":
    sys.exit(main())
