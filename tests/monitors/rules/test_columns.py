"""Rules on whole columns, on the order of rows and by SQL, against pandas."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.errors import InputError
from driftline.monitors.results.violation import Draft
from driftline.monitors.rules import session
from driftline.monitors.rules.judging import judge
from driftline.monitors.rules.outcome import Outcome, outcome_drafts
from driftline.monitors.rules.reach import EVERYTHING, NOTHING, Reach
from driftline.monitors.rules.ruleset import RuleSet

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RANDOM = np.random.default_rng(4)
ROWS = pd.DataFrame(
    {
        "id": np.arange(500),
        "price": np.where(RANDOM.random(500) < 0.1, np.nan, RANDOM.lognormal(3, 1, 500)),
        "count": RANDOM.integers(0, 40, 500),
        "code": RANDOM.choice(["a", "b", "c", None], 500),
        "at": pd.date_range("2026-01-01", periods=500, freq="min", tz="UTC"),
    }
)


def outcome(
    rule: object, rows: pd.DataFrame = ROWS, *, parts: int = 1, reach: Reach = EVERYTHING
) -> Outcome:
    """Judge rows in several batches."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    batches = table.to_batches(max_chunksize=-(-len(rows) // parts))
    (found,) = judge(RuleSet.of([rule]).within(reach), lambda _columns: batches, NOW)
    return found


def draft(rule: object, rows: pd.DataFrame = ROWS) -> Draft | None:
    found: Sequence[Draft] = outcome_drafts([outcome(rule, rows)])
    return found[0] if found else None


def at_fault(found: Outcome, rows: pd.DataFrame = ROWS) -> list[int]:
    assert found.condition is not None
    mask = found.condition.mask(pa.Table.from_pandas(rows, preserve_index=False))
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()


PRICE, COUNT = ROWS["price"], ROWS["count"]
NUMBERS = {
    "mean": (PRICE.mean(), {}),
    "sum": (PRICE.sum(), {}),
    "std": (PRICE.std(), {}),
    "quantile": (PRICE.quantile(0.95), {"q": 0.95}),
    "distinct_count": (PRICE.nunique(), {}),
}


@pytest.mark.parametrize("check", NUMBERS)
def test_a_number_of_a_column_is_the_one_of_pandas(check: str) -> None:
    value, keys = NUMBERS[check]
    rule = {"check": check, "column": "price", **keys}
    low, high = value * (1 - 1e-12), value * (1 + 1e-12)
    limits = ({"min": low}, {"max": high}, {"above": high}, {"below": low})
    batch = pa.RecordBatch.from_pandas(ROWS)

    found = judge(RuleSet.of([{**rule, **one} for one in limits]), lambda _columns: [batch], NOW)

    assert [one.passed for one in found] == [True, True, False, False]


@pytest.mark.parametrize("strictly", [True, False])
@pytest.mark.parametrize("check", ["increasing", "decreasing"])
@pytest.mark.parametrize("column", ["count", "price", "code", "at"])
def test_rows_out_of_order_are_those_of_pandas(column: str, check: str, *, strictly: bool) -> None:
    values = ROWS[column].dropna()
    before = values.shift()
    if check == "increasing":
        wrong = values <= before if strictly else values < before
    else:
        wrong = values >= before if strictly else values > before
    wrong &= before.notna()

    found = outcome({"check": check, "column": column, "strictly": strictly}, parts=3)

    assert found.tally.judged_count == len(values)
    assert found.tally.broken_count == wrong.sum()
    assert found.passed == (not wrong.any())
    if wrong.any():
        assert at_fault(found) == wrong[wrong].index.tolist()


def test_values_stand_in_another_table(tmp_path: Path) -> None:
    pd.DataFrame({"count": [str(one) for one in range(30)]}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"key": ["a", "b", "b"]}).to_parquet(tmp_path / "b.parquet")

    numbers = outcome({"check": "foreign_key", "column": "count", "table": f"{tmp_path}/a.csv"})
    texts = outcome(
        {"check": "foreign_key", "column": "code", "table": f"{tmp_path}/b.parquet", "key": "key"}
    )

    assert at_fault(numbers) == COUNT.index[~COUNT.isin(range(30))].tolist()
    assert at_fault(texts) == ROWS.index[ROWS["code"] == "c"].tolist()
    assert texts.tally.judged_count == ROWS["code"].count()


KEYS = {
    "zeros": [f"{one:03d}" for one in range(40)],
    "fractions": [f"{one}.50" for one in range(40)],
    "dates": [f"2026-01-{one + 1:02d}" for one in range(28)],
    "truths": ["True", "False"],
}


def write_keys(texts: Sequence[str], path: Path) -> str:
    """Write a table with texts as column "k", in the form that the path ends with."""
    table = pd.DataFrame({"k": texts})
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("texts", KEYS.values(), ids=KEYS)
def test_keys_of_text_are_those_that_the_table_writes(
    texts: list[str], form: str, tmp_path: Path
) -> None:
    table = write_keys(texts[:-1], tmp_path / f"known.{form}")
    # The same values as numbers, times and truth values, and written otherwise.
    others = ["0", "1", "07", "1.5", "0.500", "2026-01-01T00", "TRUE"]
    rows = pd.DataFrame({"k": [*texts, *others, None]})

    found = outcome({"check": "foreign_key", "column": "k", "table": table}, rows, parts=2)

    known = rows["k"].dropna()
    assert at_fault(found, rows) == known.index[~known.isin(texts[:-1])].tolist()
    assert found.tally.judged_count == len(known)


def test_a_query_finds_rows() -> None:
    found = outcome(
        {"check": "sql", "query": 'SELECT * FROM data WHERE price > 3 * "count"'}, parts=3
    )

    assert at_fault(found) == ROWS.index[PRICE > 3 * COUNT].tolist()
    assert found.tally.broken_count == (PRICE > 3 * COUNT).sum()


def test_a_query_finds_groups() -> None:
    query = "SELECT code, avg(price) FROM data GROUP BY code HAVING count(*) > {}"
    most = ROWS["code"].value_counts(dropna=False)

    assert outcome({"check": "sql", "query": query.format(most.max())}).passed
    found = draft({"check": "sql", "name": "groups", "query": query.format(most.max() - 1)})
    assert found is not None
    assert found.what == "groups: the query finds 1 row"


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_csv('s3://bucket/x.csv')",
        "SELECT getenv('HOME')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM 'http://127.0.0.1:9/x.csv'",
    ],
)
def test_a_query_reads_nothing_but_the_rows(query: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    text = query.format(file=tmp_path / "x.csv", folder=tmp_path)

    with pytest.raises(InputError, match=r'rule "sql" .* failed: '):
        outcome({"check": "sql", "query": text})


def test_a_query_finds_no_variable_of_python() -> None:
    found_by_name = pa.table({"x": [1]})
    query = "SELECT count(*) FROM found_by_name"
    shut = {"python_enable_replacements": session.SETTINGS["python_enable_replacements"]}

    with duckdb.connect(":memory:") as connection:
        assert connection.sql(query).fetchall() == [(found_by_name.num_rows,)]
    with (
        duckdb.connect(":memory:", config=shut) as connection,
        pytest.raises(duckdb.CatalogException, match="found_by_name"),
    ):
        connection.sql(query)


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT levenshtein(repeat('a', 60000), repeat('b', 60000))",
        "SELECT levenshtein(repeat('a', 60000), code || repeat('b', 60000)) FROM data",
    ],
)
def test_a_query_ends_at_its_limit(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TIMEOUT_S", 1.0)
    start = time.monotonic()

    with pytest.raises(InputError, match=r"query took longer than 1 s; make it simpler"):
        outcome({"check": "sql", "query": query})

    assert time.monotonic() - start < 8


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "query",
    ["SELECT len(range(800000000))", "SELECT list(i) FROM range(900000000) t(i)"],
)
def test_a_query_has_so_much_memory(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MEMORY_BYTES", 1 << 30)

    # DuckDB says so itself, or ends with a signal where it does not look whether it got memory.
    said = "query needs more memory than the 2GB|query ended its process .* which has 2GB of memory"
    with pytest.raises(InputError, match=said):
        outcome({"check": "sql", "query": query})


def test_a_value_that_python_does_not_know_is_named_as_the_cause() -> None:
    with pytest.raises(InputError, match=r'rule "sql" .* failed: .*(date|year|range)'):
        outcome({"check": "sql", "query": "SELECT DATE '290000-01-01' FROM data"})


def test_an_error_quotes_no_value_where_it_may_not() -> None:
    query = "SELECT CAST(code AS INTEGER) FROM data"
    texts = []
    for reach in (EVERYTHING, Reach(discreet=True)):
        with pytest.raises(InputError) as raised:
            outcome({"check": "sql", "query": query}, reach=reach)
        texts.append(str(raised.value))

    assert "Could not convert string" in texts[0]
    assert texts[1] == f"rule \"sql\" ('{query}') failed: Conversion Error"


@pytest.mark.parametrize(
    "query",
    [
        "COPY data TO '/tmp/x.csv'", "ATTACH '/tmp/x.db'", "INSTALL httpfs", "SELECT 1; SELECT 2",
        "SET enable_external_access = true", "CREATE TABLE x AS SELECT 1", "PRAGMA version",
        "SELEC",
    ],
)  # fmt: skip
def test_only_a_single_select_is_a_query(query: str) -> None:
    with pytest.raises(InputError, match=r'rules\[0\]: rule "sql" \(.*\): query'):
        RuleSet.of([{"check": "sql", "query": query}])


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"check": "mean", "column": "price"}, "no bound; expected min, max, above or below"),
        ({"check": "mean", "column": "price", "min": "2026-01-01"}, "a time as bound"),
        ({"check": "quantile", "column": "price", "q": 2, "min": 0}, "q is 2; expected a share"),
        ({"check": "quantile", "column": "price", "max": 9}, "q is None; expected a share"),
        ({"check": "columns_exist"}, "columns is None; expected a list of texts"),
        ({"check": "foreign_key", "column": "code"}, "table is None; expected a text"),
        ({"check": "increasing", "column": "at", "strict": True}, '(did you mean "strictly"?)'),
        ({"check": "sum", "column": "prize", "min": 0}, '(did you mean "price"?)'),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused_in_a_sentence(rule: object, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        outcome(rule)

    assert sentence in str(raised.value)


def test_another_table_is_read_only_where_rules_may() -> None:
    rule = {"check": "foreign_key", "column": "code", "table": "/etc/passwd", "key": "a"}

    with pytest.raises(
        InputError, match=r'table "/etc/passwd": rules from this place may read none'
    ):
        outcome(rule, reach=NOTHING)


def test_a_table_that_lacks_the_key_is_told_without_a_line_of_it(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:secret\nbin:x\n")
    rule = {"check": "foreign_key", "column": "code", "table": f"{tmp_path}/shadow"}

    with pytest.raises(InputError) as raised:
        outcome(rule)

    assert 'shadow: no column "code"; expected one' in str(raised.value)
    assert "secret" not in str(raised.value)
