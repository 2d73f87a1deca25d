"""Saved descriptions of SageMaker become resources that can be applied, and old windows agree."""

import json
from pathlib import Path

import pytest
import yaml

from driftline.app.from_sagemaker.descriptions import Places, read_descriptions
from driftline.app.from_sagemaker.mapping import Importer
from driftline.errors import ConflictError
from driftline.monitors.check import check
from driftline.serving.resources.resources import parse_resources
from tests.driftline.app.from_sagemaker.saved import copy_bucket, save


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket")
    copy_bucket(folder)
    return folder / "b"


def imported(tmp_path, *maps, compat=False, **data):
    save(tmp_path)
    return imported_again(tmp_path, *maps, compat=compat, **data)


def imported_again(tmp_path, *maps, compat=False, **data):
    found = read_descriptions(tmp_path / "saved")
    return Importer(found, Places.of(maps), data, compat).run()


def change(tmp_path, name, edit):
    """Save the descriptions, one of them changed."""
    file = save(tmp_path) / name
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def by_name(resources):
    return {f"{one['kind']}/{one['name']}": one["spec"] for one in resources}


def remarks(found):
    return {one.subject: one.text for one in found.remarks}


def test_a_schedule_is_a_monitor_with_its_endpoint_and_baseline(tmp_path):
    found = by_name(imported(tmp_path, compat=True).resources)

    assert found["Monitor/churn-quality"] == {
        "kind": "data-quality", "endpoint": "churn", "baseline": "churn-quality",
        "schedule": "cron(0 * ? * * *)", "compat": True,
    }  # fmt: skip
    assert found["Baseline/churn-quality"] == {"data": "s3://b/train/train.csv"}
    assert found["Endpoint/churn"] == {"baseline": "churn-quality"}


def test_label_and_facets_come_from_clarifys_file(tmp_path):
    def edit(definitions):
        definitions[0]["DataQualityAppSpecification"]["ConfigUri"] = "s3://b/bias/config.json"

    change(tmp_path, "definitions.json", edit)
    config = {
        "label": "churned", "label_values_or_threshold": [1],
        "facet": [{"name_or_index": "State", "value_or_threshold": ["AL"]}],
    }  # fmt: skip
    (tmp_path / "copy" / "bias").mkdir(parents=True)
    (tmp_path / "copy" / "bias" / "config.json").write_text(json.dumps(config))

    unread = imported_again(tmp_path)
    found = imported_again(tmp_path, f"s3://b={tmp_path / 'copy'}")

    assert any("s3://b/bias/config.json says label" in one.text for one in unread.remarks)
    assert by_name(found.resources)["Baseline/churn-quality"]["label"] == "churned"
    assert "Baseline/churn-quality" not in remarks(found)


def test_the_roles_of_model_quality_come_from_its_job(tmp_path):
    found = imported(tmp_path, **{"churn-model": "scored.csv"})
    specs = by_name(found.resources)

    assert specs["Baseline/churn-model"] == {
        "data": "scored.csv", "prediction": "guess", "threshold": 0.8, "problem": "binary",
    }  # fmt: skip
    assert specs["Monitor/churn-model"]["delay_s"] == 3600
    assert "probability is column 0" in remarks(found)["Baseline/churn-model"]


def test_an_alarm_keeps_its_fields_and_leaves_its_state(tmp_path):
    spec = by_name(imported(tmp_path).resources)["Alarm/State_AL drifts"]

    assert spec["metric_name"] == "feature_baseline_drift_State_AL"
    assert (spec["evaluation_periods"], spec["datapoints_to_alarm"], spec["period"]) == (3, 2, 3600)
    assert spec["treat_missing_data"] == "notBreaching"
    assert not [key for key in spec if key.startswith(("state", "alarm"))]


def test_all_that_is_written_can_be_declared(tmp_path):
    found = imported(tmp_path, compat=True, **{"churn-model": "scored.csv"})

    kinds = [one.kind for one in parse_resources(found.resources)]

    assert kinds == ["Baseline", "Baseline", "Endpoint", "Monitor", "Monitor", "Alarm"]


def test_a_captured_hour_is_judged_as_sagemaker_does_against_its_baseline(bucket):
    report = check(str(bucket / "captured" / "churn"), bucket / "results", compat=True)

    # 60 columns of the training rows hold whole numbers, of which the requests hold fractions.
    assert len(report.violations) == 60


def test_the_command_writes_a_file_that_reads_well(tmp_path, bucket, monkeypatch, capsys):
    from driftline.app.cli import build

    monkeypatch.chdir(tmp_path)
    save(tmp_path)
    asked = ["import", "sagemaker", "saved", "--map", f"s3://b={bucket}", "-o", "churn.yaml"]

    build("import")(asked, standalone_mode=False)

    written = Path("churn.yaml").read_text()
    resources = list(yaml.safe_load_all(written))
    assert [one["kind"] for one in resources] == ["Baseline", "Monitor", "Endpoint", "Alarm"]
    assert resources[0]["spec"]["data"] == f"{bucket}/train/train.csv"
    assert "# Monitor/churn-bias: its job definition" in written
    shown = capsys.readouterr().out
    assert "next: driftline apply -f churn.yaml" in shown
    with pytest.raises(ConflictError, match="is there already"):
        build("import")(asked, standalone_mode=False)
