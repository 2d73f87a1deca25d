import json
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.baseline.constraints import Constraints
from driftline.baseline.store import Baseline
from driftline.errors import InputError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "baseline"


def document(**feature):
    return {"version": 0.0, "features": [{"name": "x", "inferred_type": "String", **feature}]}


@pytest.mark.parametrize("name", ["quality.constraints.good.json", "quality.constraints.bad.json"])
def test_the_documents_of_a_real_job_read_and_write_unchanged(name):
    text = (FIXTURES / name).read_text()

    assert Constraints.from_json(text).to_json() == text


def test_a_document_of_2019_reads_and_keeps_every_key():
    text = (FIXTURES / "monitor.constraints.json").read_text()

    found = Constraints.from_json(text)

    assert json.loads(found.to_json()) == json.loads(text)
    assert found.monitoring_config.perform_comparison
    assert found.monitoring_config.comparison_threshold == 1.0
    assert found.feature("message").domains == ("preproc-not-YET-supported-for-csv-json",)


def config_of(distribution):
    found = {"features": [], "monitoring_config": {"distribution_constraints": distribution}}
    return Constraints.from_dict(found).monitoring_config


GENERATED = {
    "perform_comparison": "Enabled",
    "comparison_threshold": 0.1,
    "comparison_method": "Robust",
}


@pytest.mark.parametrize(
    ("distribution", "written"),
    [
        (GENERATED, None),
        ({**GENERATED, "categorical_drift_method": "ChiSquared"}, None),
        ({}, None),
        ({**GENERATED, "comparison_threshold": 0.2}, 0.2),
        ({**GENERATED, "comparison_method": "Simple"}, 0.1),
        ({"comparison_threshold": 0.1}, 0.1),
    ],
)
def test_a_threshold_is_written_unless_the_block_is_exactly_a_generated_one(distribution, written):
    found = config_of(distribution)

    assert found.written_threshold == written
    assert found.comparison_threshold == (0.1 if written is None else written)


def test_every_spelling_of_the_methods_is_read():
    config = {
        "evaluate_constraints": "Disabled",
        "distribution_constraints": {
            "comparison_method": "linf_simple",
            "categorical_drift_method": "ChiSquared",
            "categorical_comparison_threshold": 0.05,
        },
    }

    found = Constraints.from_dict({"features": [], "monitoring_config": config}).monitoring_config

    assert found.comparison_method == "Simple"
    assert found.categorical_drift_method == "ChiSquared"
    assert found.categorical_comparison_threshold == 0.05
    assert not found.evaluate_constraints


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, 'expected an object with a list "features"'),
        (document(completeness=1.5), "completeness is 1.5; expected a number from 0 to 1"),
        (document(completeness="all"), "completeness is 'all'"),
        (document(inferred_type="Text"), 'inferred_type "Text"; expected Integral'),
        (document(string_constraints={"domains": "a"}), "expected a list of texts"),
        ({"features": [{"inferred_type": "String"}]}, r"features\[0\] has no name"),
        ({"features": [1]}, r"features\[0\] is 1; expected an object"),
        ({"features": [{"name": "x"}, {"name": "x"}]}, '"x" stands twice'),
        (
            {"features": [], "monitoring_config": {"emit_metrics": True}},
            "emit_metrics is True; expected Enabled or Disabled",
        ),
        (
            document(
                monitoringConfigOverrides={"distribution_constraints": {"comparison_method": 1}}
            ),
            "comparison_method is 1; expected Simple or Robust",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(found, message):
    with pytest.raises(InputError, match=message):
        Constraints.from_dict(found)


def test_suggestions_follow_what_was_seen():
    carriers = ["UA", "AA"] * 50
    table = pa.table(
        {
            "gap": [1.0, None] * 50,
            "signed": [-3, 5] * 50,
            "carrier": carriers,
            "tail": [f"N{index}" for index in range(100)],
            "nothing": pa.nulls(100, pa.float64()),
        }
    )

    found = Baseline.fit(table).constraints

    assert found.feature("gap").completeness == 0.5
    assert found.feature("gap").is_non_negative is True
    assert found.feature("signed").is_non_negative is False
    assert found.feature("carrier").domains == ("AA", "UA")
    assert found.feature("tail").domains is None
    assert found.feature("nothing").inferred_type == "Unknown"
