"""Rules on whole columns, on the order of rows and by SQL, against pandas."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.results.violation import Draft
from driftline.monitors.rules import sql
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.reach import EVERYTHING, Reach
from driftline.monitors.rules.ruleset import Outcome, RuleSet, outcome_drafts
from driftline.monitors.rules.table_rule import Ordered, TableCondition, TableRule

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


def outcome(rule: object, rows: pd.DataFrame = ROWS, *, parts: int = 1) -> Outcome:
    """Judge rows in parts, each by a counter that has travelled, and merged."""
    rules = RuleSet.of([rule]).within(EVERYTHING)
    batches = pa.RecordBatch.from_pandas(rows, preserve_index=False)
    edges = np.linspace(0, len(rows), parts + 1).astype(int)
    counters = [rules.start() for _ in range(parts)]
    for counter, first, last in zip(counters, edges, edges[1:], strict=False):
        counter.update(batches.slice(first, last - first))
    found = pickle.loads(pickle.dumps(counters[0]))
    for other in counters[1:]:
        found.merge(other)
    return found.result()[0]


def draft(rule: object, rows: pd.DataFrame = ROWS) -> Draft | None:
    found: Sequence[Draft] = outcome_drafts([outcome(rule, rows)])
    return found[0] if found else None


def at_fault(found: Outcome, rows: pd.DataFrame = ROWS) -> list[int]:
    assert found.tally.condition is not None
    mask = found.tally.condition.mask(pa.Table.from_pandas(rows, preserve_index=False))
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()


PRICE, COUNT = ROWS["price"], ROWS["count"]
NUMBERS = {
    "mean": (PRICE.mean(), {}),
    "sum": (PRICE.sum(), {}),
    "std": (PRICE.std(), {}),
    "quantile": (PRICE.quantile(0.95), {"q": 0.95}),
    "distinct_count": (PRICE.nunique(), {}),
}


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("check", NUMBERS)
def test_a_number_of_a_column_is_the_one_of_pandas(check: str, parts: int) -> None:
    value, keys = NUMBERS[check]
    rule = {"check": check, "column": "price", **keys}

    assert outcome({**rule, "min": value * (1 - 1e-12)}, parts=parts).passed
    assert outcome({**rule, "max": value * (1 + 1e-12)}, parts=parts).passed
    assert outcome({**rule, "above": value * (1 + 1e-12)}, parts=parts).passed is False
    assert outcome({**rule, "below": value * (1 - 1e-12)}, parts=parts).passed is False


@pytest.mark.parametrize("check", NUMBERS)
def test_a_number_is_of_the_rows_that_are_meant(check: str) -> None:
    rows = ROWS[ROWS["code"] == "a"]["price"]
    value = {
        "mean": rows.mean(), "sum": rows.sum(), "std": rows.std(),
        "quantile": rows.quantile(0.95), "distinct_count": rows.nunique(),
    }[check]  # fmt: skip
    rule = {"check": check, "column": "price", **NUMBERS[check][1], "where": "code == 'a'"}

    assert outcome({**rule, "min": value * (1 - 1e-12), "max": value * (1 + 1e-12)}).passed


def test_a_number_is_told_with_what_was_expected() -> None:
    found = draft({"check": "mean", "column": "count", "max": 10, "where": "count < 30"})

    mean = COUNT[COUNT < 30].mean()
    assert found is not None
    assert found.feature == "count"
    assert found.check == "mean_check"
    assert found.what == f"mean with count < 30 is {mean:.6g} (expected at most 10)"
    assert found.severity == "page"
    assert found.predicate is None


@pytest.mark.parametrize("check", NUMBERS)
def test_a_column_without_values_is_not_judged(check: str) -> None:
    rule = {"check": check, "column": "price", **NUMBERS[check][1], "min": 1}

    assert outcome(rule, ROWS.assign(price=np.nan)).passed is None


def test_infinite_values_have_no_mean() -> None:
    found = draft({"check": "mean", "column": "price", "max": 100}, ROWS.assign(price=np.inf))

    assert found is not None
    assert found.what == "mean cannot be calculated: 500 infinite values (expected at most 100)"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"check": "columns_exist", "columns": ["id", "at"]}, None),
        (
            {"check": "columns_exist", "columns": ["id", "to", "of"]},
            'no columns "to", "of" (expected "id", "to", "of")',
        ),
        ({"check": "column_order", "columns": ["id", "count", "at"]}, None),
        ({"check": "column_order", "columns": list(ROWS.columns), "exact": True}, None),
        (
            {"check": "column_order", "columns": ["count", "id"]},
            'columns in the order "id", "count" (expected "count", "id" in this order)',
        ),
        (
            {"check": "column_order", "columns": ["id", "price", "count", "code"], "exact": True},
            'other columns "at" (expected "id", "price", "count", "code" in this order '
            "and no others)",
        ),
    ],
)  # fmt: skip
def test_columns_are_there_in_their_order(rule: object, told: str | None) -> None:
    found = draft(rule)

    assert (found and found.what) == told


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("strictly", [True, False])
@pytest.mark.parametrize("check", ["increasing", "decreasing"])
@pytest.mark.parametrize("column", ["count", "price", "code", "at"])
def test_rows_out_of_order_are_those_of_pandas(
    column: str, check: str, *, strictly: bool, parts: int
) -> None:
    values = ROWS[column].dropna()
    before = values.shift()
    if check == "increasing":
        wrong = values <= before if strictly else values < before
    else:
        wrong = values >= before if strictly else values > before
    wrong &= before.notna()

    found = outcome({"check": check, "column": column, "strictly": strictly}, parts=parts)

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


def read_keys(path: str) -> pd.DataFrame:
    rows: pd.DataFrame = pa.Table.from_batches(open_source(path).batches()).to_pandas()
    return rows


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


@pytest.mark.parametrize("texts", KEYS.values(), ids=KEYS)
def test_keys_that_are_a_guess_on_both_sides_are_compared_as_their_values(
    texts: list[str], tmp_path: Path
) -> None:
    rows = read_keys(write_keys(texts, tmp_path / "rows.csv"))
    table = write_keys(texts[:-1], tmp_path / "known.csv")

    found = outcome({"check": "foreign_key", "column": "k", "table": table}, rows)

    assert not pd.api.types.is_string_dtype(rows["k"])
    assert at_fault(found, rows) == [len(texts) - 1]


@pytest.mark.parametrize("texts", KEYS.values(), ids=KEYS)
def test_values_that_a_table_of_texts_writes_otherwise_are_refused(
    texts: list[str], tmp_path: Path
) -> None:
    rows = read_keys(write_keys(texts, tmp_path / "rows.csv"))
    table = write_keys(texts, tmp_path / "known.parquet")

    with pytest.raises(InputError, match=r'"k" is \w+ in the data, .* make both columns text, or'):
        outcome({"check": "foreign_key", "column": "k", "table": table}, rows)


def test_numbers_that_a_table_of_texts_writes_alike_are_judged(tmp_path: Path) -> None:
    table = write_keys([*(str(one) for one in range(30)), "035"], tmp_path / "known.parquet")
    rows = ROWS[ROWS["count"] != 35]

    found = outcome({"check": "foreign_key", "column": "count", "table": table, "key": "k"}, rows)

    assert found.tally.broken_count == (rows["count"] >= 30).sum() > 0
    assert found.tally.judged_count == len(rows)


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


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM 'http://127.0.0.1:9/x.csv'",
        "SELECT * FROM read_csv('s3://bucket/x.csv')",
        "SELECT getenv('HOME')",
    ],
)
def test_a_query_reads_nothing_but_the_rows(query: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    text = query.format(file=tmp_path / "x.csv", folder=tmp_path)

    with pytest.raises(InputError, match="query failed: "):
        outcome({"check": "sql", "query": text})


def test_a_query_finds_no_variable_of_python() -> None:
    found_by_name = pa.table({"x": [1]})
    query = "SELECT count(*) FROM found_by_name"
    shut = {"python_enable_replacements": sql.SETTINGS["python_enable_replacements"]}

    with duckdb.connect(":memory:") as connection:
        assert connection.sql(query).fetchall() == [(found_by_name.num_rows,)]
    with (
        duckdb.connect(":memory:", config=shut) as connection,
        pytest.raises(duckdb.CatalogException, match="found_by_name"),
    ):
        connection.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT levenshtein(repeat('a', 60000), repeat('b', 60000))",
        "SELECT levenshtein(repeat('a', 60000), code || repeat('b', 60000)) FROM data",
    ],
)
def test_a_query_ends_at_its_limit(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "TIMEOUT_S", 1.0)
    start = time.monotonic()

    with pytest.raises(InputError, match=r"query took longer than 1 s; make it simpler"):
        outcome({"check": "sql", "query": query})

    assert time.monotonic() - start < 8


@pytest.mark.parametrize(
    "query",
    ["SELECT len(range(800000000))", "SELECT list(i) FROM range(900000000) t(i)"],
)
def test_a_query_has_so_much_memory(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "MEMORY_BYTES", 1 << 30)

    # DuckDB says so itself, or ends with a signal where it does not look whether it got memory.
    said = "query needs more memory than the 2GB|query ended its process .* which has 2GB of memory"
    with pytest.raises(InputError, match=said):
        outcome({"check": "sql", "query": query})


def test_a_result_is_counted_as_far_as_it_matters() -> None:
    found = draft({"check": "sql", "query": "SELECT a.price FROM data a, range(2000000000)"})

    assert found is not None
    assert found.what == "the query finds more than 1,000,000 rows"


@pytest.mark.parametrize(
    "query",
    ["SELECT *, 1 AS _row FROM data", 'SELECT * FROM data a JOIN data b ON a.id = b."count"'],
)
def test_numbers_of_rows_come_once(query: str) -> None:
    with pytest.raises(InputError, match=r'query: it gives "_row" 2 times; expected it once'):
        outcome({"check": "sql", "query": query})


@pytest.mark.parametrize("numbers", ["-1", "500", "'a'", "0.5", "true"])
def test_numbers_of_rows_are_those_of_the_data(numbers: str) -> None:
    with pytest.raises(InputError, match='its "_row" holds no numbers of rows'):
        outcome({"check": "sql", "query": f"SELECT {numbers} AS _row"})


@pytest.mark.parametrize("column", ["PRICE", "_row", "_ROW"])
def test_columns_that_sql_cannot_tell_apart_are_refused(column: str) -> None:
    with pytest.raises(InputError, match=f'(?i)rules by SQL cannot .* "{column}"'):
        outcome({"check": "sql", "query": "SELECT 1"}, ROWS.assign(**{column: 1.0}))


def test_an_error_quotes_no_value_where_it_may_not() -> None:
    query = "SELECT CAST(code AS INTEGER) FROM data"
    rules = RuleSet.of([{"check": "sql", "query": query}])
    counters = [rules.within(reach).start() for reach in (EVERYTHING, Reach(discreet=True))]
    texts = []
    for counter in counters:
        counter.update(pa.RecordBatch.from_pandas(ROWS))
        with pytest.raises(InputError) as raised:
            counter.result()
        texts.append(str(raised.value))

    assert "Could not convert string" in texts[0]
    assert texts[1] == f"rule \"sql\" ('{query}'): query failed: Conversion Error"


def test_errors_of_rules_name_their_rule(tmp_path: Path) -> None:
    named = {"check": "sql", "name": "groups", "query": "SELECT nothing FROM data"}
    (tmp_path / "known.csv").write_text("id\n1\n")
    key = {"check": "foreign_key", "column": "id", "table": f"{tmp_path}/known.csv", "key": "no"}

    with pytest.raises(InputError, match=r'^rule "sql" \(groups\): query failed'):
        outcome(named)
    with pytest.raises(InputError, match=r'^rule "foreign_key" \(id\): table .* no column "no"'):
        outcome(key)


def test_a_query_without_a_name_is_told_by_itself() -> None:
    long = "SELECT * FROM data WHERE " + " OR ".join(f"price > {at}" for at in range(30))

    short, cut = (outcome({"check": "sql", "query": one}) for one in ("SELECT  1\nFROM data", long))

    assert short.feature == "SELECT 1 FROM data"
    assert len(cut.feature) == 80
    assert cut.feature.startswith("SELECT * FROM data WHERE price > 0") and "…" in cut.feature


@pytest.mark.parametrize(
    ("values", "q", "value"),
    [
        ([1.0, 2.0, 3.0, np.inf], 0.5, "2.5"),
        ([-np.inf, 1.0, 2.0, 3.0], 1.0, "3"),
        ([1.0, 2.0, np.inf, np.inf], 1.0, "inf"),
    ],
)
def test_infinite_values_leave_quantiles_that_do_not_reach_them(
    values: list[float], q: float, value: str
) -> None:
    """As sorted by hand: numpy gives NaN also where an infinite value has no weight."""
    rows = pd.DataFrame({"x": values})

    found = draft({"check": "quantile", "column": "x", "q": q, "max": 0}, rows)

    assert found is not None
    assert f"quantile {q:g} is {value}" in found.what


def test_a_column_of_two_types_is_refused() -> None:
    counter = RuleSet.of([{"check": "increasing", "column": "x"}]).within(EVERYTHING).start()
    for values in ([1, 2], ["a", "b"]):
        counter.update(pa.record_batch({"x": values}))

    with pytest.raises(InputError, match="x has incompatible types: int64 vs string"):
        counter.result()


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
    rules = RuleSet.of(
        [{"check": "foreign_key", "column": "code", "table": "/etc/passwd", "key": "a"}]
    ).start()

    with pytest.raises(
        InputError, match=r'table "/etc/passwd": rules from this place may read none'
    ):
        rules.update(pa.RecordBatch.from_pandas(ROWS))


def test_a_table_that_lacks_the_key_is_told_without_a_line_of_it(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:secret\nbin:x\n")
    rule = {"check": "foreign_key", "column": "code", "table": f"{tmp_path}/shadow"}

    with pytest.raises(InputError) as raised:
        outcome(rule)

    assert 'shadow: no column "code"; expected one' in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("column", ["id", "code", "price", "at"])
def test_order_is_judged_over_all_chunks_of_a_table(column: str) -> None:
    """Texts beyond 2 GiB do not fit one chunk."""
    rows = pa.Table.from_pandas(ROWS, preserve_index=False)
    chunks = pa.concat_tables([rows.slice(0, 3), rows.slice(3)])
    rule = TableRule(Ordered(column))

    verdict = rule.judge.judge(chunks)

    assert verdict.equals(rule.judge.judge(rows))
    names = tuple(rows.column_names)
    marked = TableCondition(rule, names).of(chunks, verdict)
    assert np.array_equal(marked.keys, TableCondition(rule, names).of(rows, verdict).keys)
    condition = RuleCondition(column, "", marked)
    assert condition.mask(chunks).equals(condition.mask(rows))
