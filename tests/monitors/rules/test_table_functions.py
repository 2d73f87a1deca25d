"""Checks by a plain function over a table: in a call, in a file, and on the server."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import fs

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.monitors.rules import reading
from driftline.monitors.rules.reach import EVERYTHING, Reach, load_function
from driftline.monitors.rules.reading import read_rules
from driftline.monitors.rules.ruleset import RuleSet
from tests.servers.commands import driftline

ROWS = pd.DataFrame({"price": np.arange(1000.0), "kind": ["a", "b"] * 500})
FILE = """
import pyarrow.compute as pc

def cheap(table, most=10):
    return pc.less_equal(table["price"], most)

def enough(table):
    assert table.num_rows > 5000, f"only {table.num_rows:,} rows"
    return True

number = 3
"""


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(ROWS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "checks.py").write_text(FILE)
    return tmp_path / "checks.py"


def cheap(table: pa.Table) -> object:
    return table.to_pandas()["price"] < 990


def test_a_function_marks_rows(reference: Baseline) -> None:
    report = dl.check(ROWS, reference, checks=[cheap])

    (violation,) = report.violations
    assert (violation.feature_name, violation.constraint_check_type) == ("cheap", "cheap_check")
    assert violation.cause.startswith("1% of rows that fail cheap")
    assert violation.row_count == 10
    assert report.rows(violation, limit=50)["price"].tolist() == list(range(990, 1000))


def test_a_function_judges_the_table_as_a_whole(reference: Baseline) -> None:
    def holds(table: pa.Table) -> object:
        return pc.max(table["price"]).as_py() < 1000

    def fails(table: pa.Table) -> object:
        return np.bool_(table.num_rows > 1000)

    def tells(table: pa.Table) -> object:
        assert table.num_rows > 1000, "too few rows"
        return True

    report = dl.check(ROWS, reference, checks=[holds, fails, tells])

    assert [one.cause for one in report.violations] == ["fails does not hold", "too few rows"]
    assert [one["passed"] for one in report.declared_rules] == [True, False, False]


def test_a_function_sees_all_rows_at_once(reference: Baseline) -> None:
    seen = []

    def look(table: pa.Table) -> bool:
        seen.append((table.num_rows, table.column_names))
        return True

    dl.check(pd.concat([ROWS] * 200), reference, checks=[look])

    assert seen == [(200_000, ["price", "kind"])]


def test_a_function_of_a_file_is_named_by_both(reference: Baseline, file: Path) -> None:
    report = dl.check(
        ROWS, reference,
        checks=[f"{file}:enough"],
        rules=[{"check": f"{file}:cheap", "name": "cheap", "most": 989, "mostly": 0.985}],
    )  # fmt: skip

    assert [one.cause for one in report.violations] == ["only 1,000 rows"]
    assert [one["broken_count"] for one in report.declared_rules] == [10, 0]


def test_the_command_line_runs_functions_of_a_rule_file(
    reference: Baseline, file: Path, tmp_path: Path
) -> None:
    reference.save(tmp_path / "baseline")
    ROWS.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rules.yaml").write_text(f"- {{check: '{file}:cheap', most: 989}}\n")

    done = driftline(
        "check", f"{tmp_path}/rows.parquet", "--baseline", f"{tmp_path}/baseline",
        "--rules", f"{tmp_path}/rules.yaml",
    )  # fmt: skip

    assert done.returncode == 1
    assert "1% of rows that fail cheap" in done.stdout


RULES = """
- {check: 'checks.py:cheap', most: 989}
- {check: foreign_key, column: kind, table: known.csv}
- {check: foreign_key, column: kind, table: 'file:/kept/known.csv'}
"""


@pytest.mark.parametrize("scheme", ["", "file:", "file://"])
def test_what_a_rule_file_names_lies_beside_it_however_it_is_named(
    scheme: str, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)

    function, *tables = read_rules(f"{scheme}{tmp_path}/rules.yaml").to_list()

    assert function["check"] == f"{tmp_path}/checks.py:cheap"
    assert [one["table"] for one in tables] == [f"{tmp_path}/known.csv", "file:/kept/known.csv"]


def test_a_rule_file_in_a_bucket_reads_tables_beside_it_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(reading, "locate", lambda where: Location(bucket, "rules.yaml", str(where)))

    (tmp_path / "rules.yaml").write_text("\n".join(RULES.splitlines()[2:]))
    beside, kept = read_rules("s3://bucket/team/rules.yaml").to_list()
    (tmp_path / "rules.yaml").write_text(RULES)

    assert (beside["table"], kept["table"]) == (
        "s3://bucket/team/known.csv",
        "file:/kept/known.csv",
    )
    with pytest.raises(InputError, match=r'rules.yaml: check "checks.py:cheap": functions run'):
        read_rules("s3://bucket/team/rules.yaml")


def returns(found: object) -> object:
    return lambda table: found


@pytest.mark.parametrize(
    ("checks", "sentence"),
    [
        ([returns(None)], "failed: TypeError: it returned None; expected a truth value"),
        ([returns([True])], "returned 1 values for 1,000 rows; expected a truth value"),
        ([returns(3)], "failed: "),
        ([returns([0.5] * 1000)], "failed: TypeError: it gave numbers (double)"),
        ([lambda table: 1 / 0], "failed: ZeroDivisionError: division by zero"),
        (["{file}:lost"], 'checks.py has no function "lost"'),
        (["{file}:number"], 'checks.py has no function "number"'),
        (["{file}x.py:f"], "cannot be read (No such file or directory)"),
        (["cheap"], "checks[0]: 'cheap'; expected a function over a table"),
        (cheap, "expected a list of functions over a table"),
    ],
)
def test_a_wrong_function_is_told(
    reference: Baseline, file: Path, checks: object, sentence: str
) -> None:
    if isinstance(checks, list):
        checks = [one.format(file=file) if isinstance(one, str) else one for one in checks]

    with pytest.raises(InputError) as raised:
        dl.check(ROWS, reference, checks=checks)  # type: ignore[arg-type] # Wrong on purpose.

    assert sentence in str(raised.value)


def test_a_baseline_runs_no_function(reference: Baseline, file: Path, tmp_path: Path) -> None:
    own = {"rules": [{"check": f"{file}:cheap"}]}
    document = {**reference.constraints.document, "driftline": own}
    changed = replace(reference, constraints=replace(reference.constraints, document=document))

    with pytest.raises(InputError, match="rules from this place may run none, as a baseline is"):
        dl.check(ROWS, changed)

    (tmp_path / "rules.yaml").write_text(f"- check: '{file}:cheap'\n")
    ROWS.to_parquet(tmp_path / "rows.parquet")
    done = driftline(
        "baseline", f"{tmp_path}/rows.parquet", "-o", f"{tmp_path}/baseline",
        "--rules", f"{tmp_path}/rules.yaml",
    )  # fmt: skip
    assert done.returncode == 2
    assert "which no baseline can hold" in done.stderr


def test_a_monitor_in_a_notebook_takes_functions_and_saves_none(
    reference: Baseline, file: Path, tmp_path: Path
) -> None:
    monitor = dl.Monitor(reference, checks=[cheap])

    assert [one.feature_name for one in monitor.check(ROWS, time="2026-01-01").violations] == [
        "cheap"
    ]
    for checks in ([cheap], [f"{file}:cheap"]):
        with pytest.raises(InputError, match="which no document can hold"):
            dl.Monitor(reference, checks=checks).save(tmp_path / "monitor")


def test_errors_of_a_function_on_the_server_quote_nothing(file: Path) -> None:
    file.write_text("def f(table):\n    raise ValueError('Ada')\n")
    reach = Reach(script=lambda name: file.parent / name, discreet=True)
    counters = RuleSet.of([{"check": "checks.py:f"}]).within(reach).start()
    counters.update(pa.RecordBatch.from_pandas(ROWS))

    with pytest.raises(InputError) as raised:
        counters.result()

    assert 'check "checks.py:f" failed: ValueError; expected' in str(raised.value)
    assert "Ada" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def f(table):\n    raise SystemExit(3)\n", "failed: SystemExit: 3; expected"),
        ("raise SystemExit(3)\n", "checks.py cannot be loaded (SystemExit: 3); fix the file"),
    ],
)
def test_a_function_that_ends_the_process_fails_as_any_other(
    reference: Baseline, file: Path, text: str, sentence: str
) -> None:
    file.write_text(text)

    with pytest.raises(InputError) as raised:
        dl.check(ROWS, reference, checks=[f"{file}:f"])

    assert sentence in str(raised.value)


def test_a_file_changed_within_its_second_is_run_anew_and_leaves_nothing_beside_it(
    tmp_path: Path,
) -> None:
    file, found = tmp_path / "checks.py", []
    for number in (1, 2):
        file.write_text(f"def number(): return {number}")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        found.append(load_function(EVERYTHING, f"{file}:number")())

    assert found == [1, 2]
    assert list(tmp_path.iterdir()) == [file]


def test_files_hold_data_classes_and_files_of_one_name_do_not_meet(
    reference: Baseline, file: Path, tmp_path: Path
) -> None:
    text = """
from __future__ import annotations
from dataclasses import dataclass, fields
import sys

@dataclass
class Limit:
    most: float = {most}

def f(table):
    assert sys.modules[Limit.__module__].Limit is Limit
    return table["price"].to_numpy() < Limit().most
"""
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    for path, most in ((file, 990), (other, 980)):
        path.write_text(text.format(most=most))
    before = {*sys.modules}

    report = dl.check(ROWS, reference, checks=[f"{file}:f", f"{other}:f"])

    assert [one["broken_count"] for one in report.declared_rules] == [10, 20]
    assert all(name.startswith("_driftline_checks_") for name in {*sys.modules} - before)
    file.write_text("raise ValueError")
    with pytest.raises(InputError, match="cannot be loaded"):
        dl.check(ROWS, reference, checks=[f"{file}:f"])
    kept = [one for name, one in sys.modules.items() if name.startswith("_driftline_checks_")]
    assert file not in [Path(str(one.__file__)) for one in kept]
