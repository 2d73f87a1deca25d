"""Checks by a plain function over a table: in a call, in a file, and on the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import fs

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.monitors.rules import reading
from driftline.monitors.rules.reading import read_rules
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
