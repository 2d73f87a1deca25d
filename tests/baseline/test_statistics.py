import csv
import json
import re
from pathlib import Path

import pytest

from driftline.baseline.statistics import Statistics
from driftline.baseline.store import Baseline
from driftline.errors import InputError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "baseline"


@pytest.fixture(scope="module")
def churn():
    return Baseline.fit(FIXTURES / "churn.csv", label="Churn")


def test_the_document_of_a_real_job_reads_and_writes_unchanged():
    text = (FIXTURES / "quality.statistics.json").read_text()

    assert Statistics.from_json(text).to_json() == text


def test_a_document_in_plain_json_keeps_every_value():
    text = (FIXTURES / "monitor.statistics.json").read_text()

    found = Statistics.from_json(text)

    assert json.loads(found.to_json()) == json.loads(text)
    assert found.item_count == 418
    assert list(found.features) == ["message"]


def test_churn_types_are_those_of_the_analyzers_rule_on_the_text(churn):
    # The rule of model-monitor, section 3.1: an expression per value, on the text.
    fractional = re.compile(r"^(-|\+)? ?\d+((\.\d+)|((?:\.\d+)?[Ee][-+]?\d+))$")
    with (FIXTURES / "churn.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {
        name: "Fractional" if any(fractional.match(row[name]) for row in rows) else "Integral"
        for name in rows[0]
    }

    found = {name: block["inferred_type"] for name, block in churn.statistics.features.items()}

    assert found == expected
    assert set(expected.values()) == {"Fractional", "Integral"}


def test_unknown_keys_survive():
    document = {"version": 0, "features": [{"name": "x", "mine": [1, 2.0]}], "more": {"a": None}}

    assert json.loads(Statistics(document).to_json()) == document


def test_text_columns_list_few_values_and_only_count_many(tmp_path):
    rows = "\n".join(f"{'AB'[i % 2]},name{i}" for i in range(300))
    (tmp_path / "a.csv").write_text("few,many\n" + rows + "\n")

    found = Baseline.fit(tmp_path / "a.csv").statistics.features

    assert found["few"]["string_statistics"]["distribution"]["categorical"]["buckets"] == [
        {"value": "A", "count": 150},
        {"value": "B", "count": 150},
    ]
    assert "distribution" not in found["many"]["string_statistics"]
    assert found["many"]["string_statistics"]["distinct_count"] == 300.0


def test_a_column_without_values_is_unknown_and_has_no_block(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,\n2,\n")

    found = Baseline.fit(tmp_path / "a.csv").statistics.features["b"]

    assert found == {"name": "b", "inferred_type": "Unknown"}


@pytest.mark.parametrize("text", ["", "[]", '{"features": {}}', '{"features": [{"x": 1}]}'])
def test_what_is_no_statistics_document_is_refused(text):
    with pytest.raises(InputError, match="statistics: "):
        Statistics.from_json(text)
