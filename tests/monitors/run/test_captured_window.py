"""A captured window as people meet it: which labels counted, and what became of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.kinds.catalog import with_quality
from driftline.monitors.kinds.model_quality.kind import NAMESPACE as QUALITY_METRICS
from driftline.monitors.run.captured_window import NO_LABELS, read_captured
from driftline.signature import Column
from tests.monitors.conftest import DAY, START, append_day, report_of, run_day, values_of
from tests.servers.postgres import both_databases, both_in_full

WINDOW = Window(START, START + DAY)
ROWS = 400


def answers(seed: int, rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = np.round(rng.uniform(0, 1, rows), 3)
    return {
        "temp": rng.normal(0, 1, rows),
        "late": (rng.uniform(0, 1, rows) < chance).astype(np.int64),
        "said": (chance > 0.5).astype(np.int64),
        "chance": chance,
    }


@pytest.fixture(scope="module")
def labelled() -> Baseline:
    table = pa.table(answers(1, 4_000))
    return Baseline.fit(
        table, label="late", prediction="said", probability="chance", facet="temp>0"
    )


@pytest.fixture
def judge(engine: Engine, root: str, labelled: Baseline):
    """Capture one day, give labels, and judge the day."""
    versions.put(root, "flights", labelled, lambda: START)
    rows = answers(2, ROWS)
    append_day(root, labelled.signature, 0, {k: v for k, v in rows.items() if k != "late"})

    def once(labels: dict[int, object], kind: str, row_index: int = 0) -> Execution:
        table = pa.table(
            {
                "key": [f"a-{place}" for place in labels],
                "row_index": pa.array([row_index] * len(labels), pa.int32()),
                "label": [str(one) for one in labels.values()],
            }
        )
        put(root, "flights", table, lambda: START + 2 * DAY)
        return judge_day(engine, root, labelled, 0, kind)

    return once


def truth() -> dict[int, object]:
    return dict(enumerate(answers(2, ROWS)["late"].tolist()))


@both_databases
def test_labels_that_do_not_count_are_counted_for_people(judge, engine: Engine, root: str) -> None:
    # "n/a" says that there is no value yet; the two others are no numbers.
    execution = judge({**truth(), 3: "delayed", 4: "n/a", 5: "?"}, "model-quality")
    report = report_of(root, execution)

    assert (report["labelled_count"], report["unfit_label_count"]) == (ROWS - 3, 2)
    assert (report["stray_label_count"], report["stray_label_ids"]) == (0, [])
    assert values_of(engine, "labelled_rows") == [ROWS - 3]
    assert values_of(engine, "unfit_labels") == [2]
    assert values_of(engine, "stray_labels") == [0]


@both_in_full
@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_many_labels_of_another_type_are_a_violation_beside_those_that_fit(
    judge, root: str, kind: str
) -> None:
    """As of a file, whose labels are words where numbers are expected."""
    words = dict.fromkeys(range(100), "many")
    execution = judge({**truth(), **words}, kind)
    report = report_of(root, execution)

    [found] = [one for one in report["violations"] if one["feature_name"] == "unusable_labels"]
    assert found["cause"].startswith("25% of 400 labels are of no use: 100 of another type")
    assert "100 labels left out: 100 of another type" in report["details"]["answers_note"]
    assert execution.status == "CompletedWithViolations"


@both_in_full
def test_a_metric_of_ones_own_is_published_and_another_function_asks_again(
    engine: Engine, root: str, labelled: Baseline, tmp_path: Path
) -> None:
    file, text = tmp_path / "own.py", "def gain(labels, said): return {} * (labels * said).mean()"
    file.write_text(text.format(1))
    rows = answers(2, ROWS)
    listed = with_quality(labelled, [f"{file}:gain", "cohen_kappa_score"])
    document = listed.documents[QUALITY_CONSTRAINTS].replace(f"{file}:gain", "own.py:gain=higher")
    deployed = replace(listed, functions=(), documents={QUALITY_CONSTRAINTS: document})
    versions.put(root, "flights", deployed, lambda: START)
    append_day(root, labelled.signature, 0, {k: v for k, v in rows.items() if k != "late"})
    labels = [str(one) for one in rows["late"]]
    keys = [f"a-{one}" for one in range(ROWS)]
    known = pa.table({"key": keys, "row_index": pa.array([0] * ROWS, pa.int32()), "label": labels})
    put(root, "flights", known, lambda: START + 2 * DAY)

    def judged() -> tuple[Execution, dict[str, dict[str, object]]]:
        execution = judge_day(engine, root, deployed, 0, "model-quality", str(tmp_path))
        report = report_of(root, execution)
        return execution, {one["name"]: one for one in report["metrics"]}

    (first, found), (again, _) = judged(), judged()
    file.write_text(text.format(2))
    (other, doubled) = judged()

    gain = float((rows["late"] * rows["said"]).mean())
    assert again.id == first.id != other.id
    assert (found["gain"]["value"], doubled["gain"]["value"]) == pytest.approx((gain, 2 * gain))
    assert found["gain"]["operator"] == "LessThanThreshold"
    assert values_of(engine, "gain", QUALITY_METRICS) == pytest.approx([2 * gain])
    assert found["cohen_kappa_score"]["bound"] is not None


def judge_day(
    engine: Engine, root: str, baseline: Baseline, day: int, kind: str, scripts: str = ""
) -> Execution:
    definition = MonitorDefinition("daily", "flights", "flights", kind=kind)
    return run_day(engine, root, baseline, definition, day, scripts_dir=scripts)


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_derived_predictions_are_those_that_the_references_model_would_have_made(
    engine: Engine, root: str, threshold: float
) -> None:
    reference = answers(1, 4_000)
    reference["said"] = (reference["chance"] > threshold).astype(np.int64)
    baseline = Baseline.fit(
        pa.table(reference), label="late", prediction="said", probability="chance"
    )
    versions.put(root, "flights", baseline, lambda: START)
    rows = answers(2, ROWS)
    append_day(root, baseline.signature, 0, {name: rows[name] for name in ("temp", "chance")})
    definition = MonitorDefinition("daily", "flights", "flights")

    read = read_captured(root, definition, WINDOW, baseline.signature, baseline)

    expected = (rows["chance"] > threshold).astype(int).tolist()
    assert read.table()["said"].to_pylist() == pytest.approx(expected, abs=0.01) or (
        sum(a != b for a, b in zip(read.table()["said"].to_pylist(), expected, strict=True)) <= 1
    )
    assert judge_day(engine, root, baseline, 0, "data-quality").violation_count == 0


@pytest.mark.parametrize("answered", ["late", "late and probability"])
def test_a_single_value_is_the_probability_unless_one_is_answered_beside_it(
    root: str, answered: str
) -> None:
    reference = {name: one for name, one in answers(1, 4_000).items() if name != "said"}
    baseline = Baseline.fit(
        pa.table(reference), label="late", probability="chance", problem="binary"
    )
    outputs = (
        Column("late", "prediction", "int64", "prediction", classes=("0", "1")),
        Column("probability", "probability", "double", "probability"),
    )
    signature = replace(baseline.signature, features=baseline.signature.inputs, outputs=outputs)
    rows = answers(2, ROWS)
    rows["probability"] = np.where(rows["said"], rows["chance"], None)
    append_day(root, signature, 0, {"temp": rows["temp"], **{
        name: rows[name] for name in answered.split(" and ")
    }})  # fmt: skip
    definition = MonitorDefinition("daily", "flights", "flights", kind="model-quality")

    read = read_captured(root, definition, WINDOW, signature, baseline)

    expected = rows["late" if answered == "late" else "probability"].tolist()
    assert read.table()["chance"].to_pylist() == expected


@both_in_full
@pytest.mark.parametrize("kind", ["data-quality"])
def test_kinds_without_labels_have_no_metrics_of_them(judge, engine: Engine, kind: str) -> None:
    judge({**truth(), 3: "delayed"}, kind)

    assert values_of(engine, "requests") == [ROWS]
    for name in ("labelled_rows", "unfit_labels", "stray_labels"):
        assert values_of(engine, name) == []


@both_in_full
def test_a_window_whose_labels_are_all_of_another_type_has_a_report_that_says_so(
    judge, root: str
) -> None:
    """The run failed, without a report and what is estimated until labels come."""
    few = judge({3: "delayed", 4: "?"}, "model-quality")
    execution = judge(dict.fromkeys(range(ROWS), "delayed"), "model-quality")

    report = report_of(root, execution)
    [found] = report["violations"]
    assert found["feature_name"] == "unusable_labels"
    assert found["severity"] == "page"
    assert found["cause"].startswith("100% of 400 labels are of no use: 400 of another type")
    assert {one["name"] for one in report["metrics"]} >= {"unusable_labels", "estimated_auc"}
    assert few.status == "InsufficientData"  # Two labels are no violation.
    assert few.folder


def test_a_window_that_cannot_be_estimated_waits_for_its_labels(
    engine: Engine, root: str, labelled: Baseline
) -> None:
    versions.put(root, "flights", labelled, lambda: START)
    few = answers(2, 12)
    append_day(root, labelled.signature, 0, {k: v for k, v in few.items() if k != "late"})

    execution = judge_day(engine, root, labelled, 0, "model-quality")

    assert execution.failure_reason == f"{NO_LABELS} (no label for any of 12 rows)"
