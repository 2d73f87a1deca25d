"""Saved descriptions of SageMaker become resources that can be applied, and old windows agree."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from driftline.app.from_sagemaker.descriptions import read_descriptions
from driftline.app.from_sagemaker.mapping import resources_of
from driftline.app.from_sagemaker.parity import WHY_NOT, WHY_ONLY, parity
from driftline.app.from_sagemaker.places import Places
from driftline.errors import ConflictError, InputError
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
    return resources_of(found, Places.of(maps), data, compat=compat)


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


@pytest.mark.parametrize(("compat", "role"), [(False, "label"), (True, "prediction")])
def test_the_first_column_of_rows_that_lie_here_is_what_requests_lack(
    tmp_path, bucket, compat, role
):
    found = imported(tmp_path, f"s3://b={bucket}", compat=compat)

    assert by_name(found.resources)["Baseline/churn-quality"][role] == "Churn"
    assert '"Churn", its first column' in remarks(found)["Baseline/churn-quality"]


def test_the_roles_of_model_quality_come_from_its_job(tmp_path):
    found = imported(tmp_path, **{"churn-model": "scored.csv"})
    specs = by_name(found.resources)

    assert specs["Baseline/churn-model"] == {
        "data": "scored.csv", "prediction": "guess", "threshold": 0.8, "problem": "binary",
    }  # fmt: skip
    assert specs["Monitor/churn-model"]["delay_s"] == 3600
    assert "probability is column 0" in remarks(found)["Baseline/churn-model"]


def test_what_cannot_be_brought_is_said_with_what_to_do(tmp_path):
    found = remarks(imported(tmp_path))

    assert "--data churn-model=PLACE" in found["Baseline/churn-model"]
    assert 'its job definition "not-saved" was not saved' in found["Monitor/churn-bias"]
    assert "AWS/EC2 is no namespace of SageMaker's" in found["Alarm/disk"]
    assert "arn:aws:sns:eu-west-1:123456789012:on-call" in found["Alarm/State_AL drifts"]


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


def test_the_commands_bring_captures_and_labels(tmp_path):
    found = imported(tmp_path, "s3://b/captured=copy", **{"churn-model": "scored.csv"})

    copy = Path("copy").resolve()
    assert found.commands == [
        f"driftline capture import {copy}/churn --endpoint churn",
        "driftline truth load s3://b/labels --endpoint churn",
    ]


def test_composites_on_alarms_that_are_left_out_are_left_out_too(tmp_path):
    rules = {
        "on disk": 'ALARM("disk") OR ALARM("State_AL drifts")',
        "on its composite": "ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:over)",
        "over": 'NOT OK("on disk")',
        "kept": 'ALARM("State_AL drifts")',
        "over kept": "ALARM(kept)",
    }
    composites = [{"AlarmName": name, "AlarmRule": rule} for name, rule in rules.items()]
    composites.append(
        {"AlarmName": "held back", "AlarmRule": "ALARM(kept)", "ActionsSuppressor": "disk",
         "ActionsSuppressorWaitPeriod": 60, "ActionsSuppressorExtensionPeriod": 60}
    )  # fmt: skip
    change(tmp_path, "alarms.json", lambda found: found.update(CompositeAlarms=composites))

    found = imported_again(tmp_path)

    assert {one["name"] for one in found.resources if one["kind"] == "CompositeAlarm"} == {
        "kept", "over kept",
    }  # fmt: skip
    said = remarks(found)
    assert said["CompositeAlarm/on disk"].startswith("left out: it names disk, which")
    assert said["CompositeAlarm/over"].startswith("left out: it names on disk, which")
    assert said["CompositeAlarm/on its composite"].startswith("left out: it names over, which")
    assert said["CompositeAlarm/held back"].startswith("left out: it names disk, which")


def test_a_baseline_without_a_jobs_name_is_of_the_job_that_wrote_its_constraints(tmp_path):
    def forget(definitions):
        del definitions[0]["DataQualityBaselineConfig"]["BaseliningJobName"]
        del definitions[1]["ModelQualityBaselineConfig"]["BaseliningJobName"]

    def write(job, folder):
        job["ProcessingOutputConfig"] = {
            "Outputs": [{"OutputName": "monitoring_output", "S3Output": {"S3Uri": folder}}]
        }

    change(tmp_path, "definitions.json", forget)
    file = tmp_path / "saved" / "job.json"
    job = json.loads(file.read_text())
    write(job, "s3://b/results/")
    older = {**job, "ProcessingJobName": "older", "CreationTime": "2021-01-01T00:00:00+00:00",
             "ProcessingInputs": []}  # fmt: skip
    file.write_text(json.dumps([job, older]))

    found = imported_again(tmp_path)

    assert by_name(found.resources)["Baseline/churn-quality"] == {"data": "s3://b/train/train.csv"}
    unknown = remarks(found)["Baseline/churn-model"]
    assert "or save the processing job that wrote s3://b/model, too" in unknown
    assert "…" not in unknown


def test_a_baseline_of_unknown_rows_says_what_waits_for_it(tmp_path):
    def forget(definitions):
        definitions[1]["ModelQualityBaselineConfig"] = {}

    change(tmp_path, "definitions.json", forget)

    assert remarks(imported_again(tmp_path))["Baseline/churn-model"] == (
        "the rows that the baseline was made of are not known; name them by --data "
        "churn-model=PLACE. Until then Monitor/churn-model is left out, and Endpoint/churn where "
        "no other schedule brings it"
    )


def test_what_is_not_carried_over_is_said(tmp_path):
    def edit(definitions):
        definitions[1]["StoppingCondition"] = {"MaxRuntimeInSeconds": 1800}
        definitions[1]["ModelQualityAppSpecification"]["ImageUri"] = "1.dkr.ecr/own-checks:3"
        definitions[1]["ModelQualityJobInput"]["EndpointInput"] |= {
            "StartTimeOffset": "-P2DT1H", "FeaturesAttribute": "features",
            "ExcludeFeaturesAttribute": "0,1",
        }  # fmt: skip

    change(tmp_path, "definitions.json", edit)
    file = tmp_path / "saved" / "endpoint.json"
    file.write_text(file.read_text().replace('Percentage": 100', 'Percentage": 20'))

    found = imported_again(tmp_path, **{"churn-model": "scored.csv"})

    assert by_name(found.resources)["Monitor/churn-model"]["timeout_s"] == 1800
    said = [one.text for one in found.remarks if one.subject == "Monitor/churn-model"]
    assert said == [
        "SageMaker's windows are of 2 days, 0:00:00 (StartTimeOffset -P2DT1H); here each is one "
        "period of the schedule, 1 day, 0:00:00",
        'FeaturesAttribute "features" is not carried over: features are the columns of '
        "Baseline/churn-model",
        'ExcludeFeaturesAttribute "0,1" is not carried over: name these columns in exclude of '
        "Baseline/churn-model",
        "it ran 1.dkr.ecr/own-checks:3; here it is judged as model-quality. To go on with what "
        "that container runs, make it a program of kind: command (docs/your-own-monitor.md)",
    ]
    assert "captured 20 % of its requests" in remarks(found)["Endpoint/churn"]


def test_windows_of_one_period_and_a_capture_of_all_need_no_remark(tmp_path):
    said = remarks(imported(tmp_path, **{"churn-model": "scored.csv"}))

    assert not {"Monitor/churn-model", "Endpoint/churn"} & set(said)


@pytest.mark.parametrize("key", ["StartTimeOffset", "EndTimeOffset"])
def test_an_offset_that_is_none_is_said(tmp_path, key):
    def edit(definitions):
        definitions[1]["ModelQualityJobInput"]["EndpointInput"][key] = "soon"

    change(tmp_path, "definitions.json", edit)

    said = remarks(imported_again(tmp_path, **{"churn-model": "scored.csv"}))

    assert f'{key} "soon" is no duration' in said["Monitor/churn-model"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no folder; expected one with the JSON"),
        ("{}", "no monitoring schedule and no alarm; save some by"),
        ("{", r"x\.json: no JSON"),
        ('{"MetricAlarms": [{}]}', r"x\.json: not as AWS prints it \(KeyError\('AlarmName'\)"),
    ],
)
def test_a_folder_that_is_none_is_one_sentence(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "saved").mkdir()
        (tmp_path / "saved" / "x.json").write_text(content)

    with pytest.raises(InputError, match=sentence):
        read_descriptions(tmp_path / "saved")


@pytest.mark.parametrize("text", ["s3://b", "b=copy", "s3://b="])
def test_a_map_that_is_none_is_one_sentence(text):
    with pytest.raises(InputError, match="expected URI=FOLDER"):
        Places.of([text])


def test_the_longest_beginning_of_a_uri_wins_and_no_half_name(tmp_path):
    places = Places.of([f"s3://b={tmp_path}/a", f"s3://b/x={tmp_path}/c"])

    assert places.place("s3://b/x/y") == f"{tmp_path}/c/y"
    assert places.place("s3://b/xy") == f"{tmp_path}/a/xy"
    assert places.place("s3://bc/y") == "s3://bc/y"
    assert places.local("s3://bc/y") is None


def judged(tmp_path, bucket, change=lambda violations: violations):
    """Judge the captured hour again, against SageMaker's own judgement of it, changed."""
    copy = tmp_path / "b"
    shutil.copytree(bucket, copy)
    report = check(str(copy / "captured" / "churn"), copy / "results", compat=True)
    report.save(tmp_path / "theirs")
    theirs = json.loads((tmp_path / "theirs" / "constraint_violations.json").read_text())
    theirs["violations"] = change(theirs["violations"])
    hour = copy / "reports" / "churn" / "churn-quality" / "2022" / "04" / "18" / "01"
    hour.mkdir(parents=True)
    (hour / "constraint_violations.json").write_text(json.dumps(theirs))
    skipped = []
    found = read_descriptions(save(tmp_path))
    windows = list(parity(found, Places.of([f"s3://b={copy}"]), lambda *one: skipped.append(one)))
    return windows, skipped


def test_an_old_window_is_judged_again_as_sagemaker_did(tmp_path, bucket):
    (window,), skipped = judged(tmp_path, bucket)

    # 60 columns of the training rows hold whole numbers, of which the requests hold fractions.
    assert (window.sagemaker, window.compat, window.differs, skipped) == (60, 60, (), [])
    assert (window.start, window.end) == (
        "2022-04-18T00:00:00+00:00", "2022-04-18T01:00:00+00:00",
    )  # fmt: skip
    # Driftline's own test finds the same.
    assert (window.driftline, window.dropped, window.added) == (60, (), ())


def test_each_difference_from_sagemaker_is_told(tmp_path, bucket):
    def change(violations):
        first, second, *rest = sorted(violations, key=lambda one: one["feature_name"])
        made_up = {**first, "feature_name": "nobody"}
        return [{**second, "description": "another text"}, made_up, *rest]

    (window,), _ = judged(tmp_path, bucket, change)

    assert [one.why for one in window.differs] == [
        "SageMaker does not tell it",
        "SageMaker says: another text",
        "driftline --compat does not find it",
    ]
    assert window.differs[-1].feature == "nobody"
    assert [(one.feature, one.why) for one in window.dropped] == [
        ("nobody", WHY_NOT["data_type_check"])
    ]
    assert [one.why for one in window.added] == [WHY_ONLY]


def test_windows_that_are_not_here_are_said(tmp_path, bucket):
    skipped = []
    found = read_descriptions(save(tmp_path))

    assert list(parity(found, Places.of([]), lambda *one: skipped.append(one))) == []
    ((name, reason),) = skipped
    assert name == "churn-quality"
    assert "captures of churn" in reason
    assert "--map" in reason


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
