"""An installation with monitors of the other kinds, and alarms of every sort, without any capture.

Documents and datapoints are written by the rooms' own functions from metrics that stand here, so
that what the pages must show is known to the digit. Alarms are judged by the evaluator; messages go
to a receiver on this machine that takes some, refuses some, and is gone for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metric_store
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.notify.deliverer import Deliverer
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.report.datapoints import failed_datapoints
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured, MetricPoint
from driftline.monitors.results.violation import Violation
from driftline.monitors.rows import WindowFacts
from driftline.monitors.run.captured_window import NO_LABELS
from driftline.monitors.run.stored_report import store_report
from driftline.monitors.state import State
from driftline.monitors.tables import executions
from tests.dashboard.seed import Seeded, keep_up, make_engine
from tests.servers.answering import served

WEEKS = 16
# As nothing_to_judge words it.
UNLABELLED = f"{NO_LABELS} (no label for any of 6,000 rows)"
START = datetime(2013, 7, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
HOSTILE = "<b>JFK</b> & co"
QUALITY = "aws/sagemaker/Endpoints/model-metrics"
BIAS = "aws/sagemaker/Endpoints/bias-metrics"
KINDS = ("model-quality", "bias", "attribution")
FEATURES = ("hour", "carrier", "dest", "temp", "humid", "wind_speed", HOSTILE, "origin", "minute")
ALARM_NAMES = (
    "quality: lost/again 100%",
    "..",
    '<img src=x onerror="alert(1)"> & co',
    "nothing comes",
)


def seed_measured(folder: Path) -> Seeded:
    """Make the installation: sixteen weeks of three kinds; the last two weeks wait for labels."""
    root = str(folder / "store")
    (folder / "store" / "capture").mkdir(parents=True)
    engine = make_engine(folder / "driftline.db")
    seeded = Seeded(engine, root, START + WEEKS * WEEK + timedelta(hours=3), "flights-quality")
    definitions = [
        MonitorDefinition(
            name=f"flights-{kind.removeprefix('model-')}",
            endpoint="flights",
            baseline="flights",
            kind=kind,
            schedule="cron(0 0 ? * MON *)",
            start=START,
        )
        for kind in KINDS
    ]
    with engine.begin() as connection:
        for definition in definitions:
            put_definition(connection, definition, START)
    with served(Answers) as url:
        _declare_alarms(engine, url)
        for week in range(WEEKS):
            window = Window(START + week * WEEK, START + (week + 1) * WEEK)
            for definition in definitions:
                _run(engine, root, definition, window, week)
            _tell(engine, window.end + timedelta(minutes=5))
    for definition in definitions:
        # The scheduler of one of them has fallen behind by a week.
        behind = definition.kind == "attribution"
        keep_up(engine, definition.name, START + (WEEKS - behind) * WEEK)
    return seeded


def quality_metrics(week: int) -> tuple[Measured, ...]:
    """Return a binary model's numbers: the ranking holds, the calibration goes in week 10."""
    sway = 0.012 * np.sin(week)
    lost = week >= 10
    skill = -0.04 if lost else 0.06
    return (
        Measured(
            "auc", 0.69 + sway, 0.67 + sway, 0.71 + sway, 0.69, 0.68, 0.70, 0.65,
            "LessThanThreshold", 0.4, 6_000,
        ),
        Measured(
            "brier_skill", skill + sway, skill + sway - 0.02, skill + sway + 0.02, 0.08, 0.07, 0.09,
            0.01, "LessThanThreshold", 1e-7 if lost else 0.3, 6_000,
            severity="page" if lost else None,
        ),
        # Estimates do not see that the calibration went.
        Measured("estimated_auc", 0.70 + sway, 0.68 + sway, 0.72 + sway, count=6_000),
        Measured("accuracy", 0.78, 0.77, 0.79, 0.79, 0.785, 0.795, count=6_000),
        Measured("precision", None, reference=0.55, why="no_predicted_positives"),
        Measured("log_loss", float("inf"), reference=0.5, count=6_000),
    )  # fmt: skip


def bias_metrics(week: int) -> tuple[Measured, ...]:
    """Return three groups' numbers: the one with the hostile name is worse off from week 12 on."""
    worse = 0.09 if week >= 12 else 0.01
    found: list[Measured] = []
    for group, gap in ((HOSTILE, worse), ("EWR", -0.03), ("LGA", 0.0)):
        broken = "ticket" if gap > 0.05 else None
        shared = {"facet": "origin", "facet_value": group, "count": 2_000}
        found += [
            Measured(
                "DPPL", gap, gap - 0.02, gap + 0.02, 0.0, -0.01, 0.01, 0.05,
                "GreaterThanThreshold", 0.2, severity=broken, **shared,
            ),
            Measured("DI", 1 - 3 * gap, 0.9 - 3 * gap, 1.1 - 3 * gap, 1.0, **shared),
            Measured("RD", None, state=State.INSUFFICIENT, **shared),
            Measured("TE", 40.0, 10.0, 90.0, 38.0, **shared),
        ]  # fmt: skip
    return tuple(found)


def attribution_metrics(week: int) -> tuple[Measured, ...]:
    """Return the shares of nine features: in week 14 the second falls to the last place."""
    reference = np.array([0.3, 0.2, 0.14, 0.1, 0.09, 0.07, 0.05, 0.03, 0.02])
    window = reference.copy()
    if week >= 14:
        window[1], window[8] = 0.01, 0.21
    ndcg = 0.91 if week >= 14 else 0.995
    shares = [
        Measured(
            f"share_{name}", now, now * 0.9, now * 1.1, before, before * 0.95, before * 1.05,
            before * 1.5, "GreaterThanThreshold", 0.5, 900,
            severity="ticket" if now > before * 1.5 else None,
        )
        for name, now, before in zip(FEATURES, window.tolist(), reference.tolist(), strict=True)
    ]  # fmt: skip
    order = Measured(
        "ndcg", ndcg, ndcg - 0.01, min(1.0, ndcg + 0.01), 1.0, bound=0.95,
        operator="LessThanThreshold", p_value=0.01, count=900,
        severity="ticket" if ndcg < 0.95 else None,
    )  # fmt: skip
    return (order, *shares)


MAKERS = {
    "model-quality": quality_metrics,
    "bias": bias_metrics,
    "attribution": attribution_metrics,
}


def _run(
    engine: Engine, root: str, definition: MonitorDefinition, window: Window, week: int
) -> None:
    """Record one run: documents, the row, the datapoints."""
    names = {"monitor": definition.name, "endpoint": "flights"}
    identity = f"{KINDS.index(definition.kind):08d}-0000-5000-8000-{week:012d}"
    waits = definition.kind == "model-quality" and week >= WEEKS - 2
    row = {
        "id": identity, **names, "kind": definition.kind, "definition_version": 1,
        "baseline": "flights", "baseline_version": "0", "window_start": window.start,
        "window_end": window.end, "digest": "0", "is_current": True, "cause": "",
        "max_drift_ratio": None, "started_at": window.end, "finished_at": window.end,
    }  # fmt: skip
    if waits:
        points = list(failed_datapoints(window, **names, execution_id=identity, reason=UNLABELLED))
        row |= {
            "status": "Failed", "failure_reason": UNLABELLED, "row_count": 0, "request_count": 0,
            "violation_count": 0, "page_count": 0, "folder": "",
        }  # fmt: skip
    else:
        report = _report(definition.kind, window, week)
        points = list(report.datapoints(**names, execution_id=identity))
        folder = f"executions/{definition.name}/{window.stamp}/{identity}"
        report.save(Path(root) / folder)
        with engine.begin() as connection:
            store_report(connection, identity, report, report.documents()["report.json"])
        row |= {
            "status": "Completed" if report.passed else "CompletedWithViolations",
            "failure_reason": None, "row_count": report.row_count, "request_count": 400,
            "violation_count": len(report.violations), "page_count": report.page_count,
            "worse_count": report.worse_count, "unjudged_count": len(report.unjudged),
            "headline": report.headline,
            "folder": folder, "cause": report.cause,
        }  # fmt: skip
    counts = {one.name: one.value for one in points if one.namespace == OWN_METRICS}
    row |= {
        "labelled_count": counts.get("labelled_rows"),
        "expected_count": counts.get("expected_violations"),
    }
    with engine.begin() as connection:
        connection.execute(insert(executions).values(row))
        metric_store.put(connection, points, source=f"{definition.name}/{window.stamp}")


def _report(kind: str, window: Window, week: int) -> Report:
    found = MAKERS[kind](week)
    labelled = 0 if kind == "attribution" else 5_400 - 60 * week
    return Report(
        kind=kind,
        violations=tuple(_violation(one) for one in found if one.violated),
        row_count=6_000,
        metrics=found,
        points=tuple(_points(kind, found)),
        facts=WindowFacts(
            window,
            request_count=400,
            labelled_count=labelled,
            unfit_label_count=3 if week == 5 else 0,
            stray_label_count=1 if week == 5 else 0,
        ),
        details=_details(kind),
    )


def _violation(one: Measured) -> Violation:
    words = f"{one.value:.3g} where the reference has {one.reference:.3g}"
    return Violation(
        feature_name=one.facet or one.name,
        constraint_check_type=f"{one.operator}",
        description=words,
        severity=one.severity,
        cause=words,
    )


def _points(kind: str, found: Sequence[Measured]) -> Iterator[MetricPoint]:
    for one in found:
        if one.value is None:
            continue
        if kind == "model-quality":
            yield MetricPoint(QUALITY, one.name, one.value)
        elif kind == "bias":
            # CloudWatch takes printable ASCII only, which the hostile name is.
            own = {"Facet": one.facet, "FacetValue": one.facet_value, "BiasStage": "Post-Training"}
            yield MetricPoint(BIAS, f"bias_metric_{one.name}", one.value, own)
        elif one.name == "ndcg":
            yield MetricPoint("Driftline", "attribution_ndcg", one.value, {"Label": "label0"})


def _details(kind: str) -> dict[str, object]:
    if kind == "model-quality":
        matrix = {"0": {"0": 4_000, "1": 300}, "1": {"0": 1_020, "1": 80}}
        return {
            "problem": "binary",
            "positive": "1",
            "confusion_matrix": matrix,
            "calibration": [
                {"count": 540.0, "probability": 0.05 + 0.08 * step, "share": 0.04 + 0.06 * step,
                 "low": 0.02 + 0.055 * step, "high": 0.06 + 0.065 * step}
                for step in range(10)
            ],
            "counts_at_thresholds": {
                "window": at_thresholds(1_100, 4_300, 1.6),
                "reference": at_thresholds(2_400, 7_600, 2.0),
            },
        }  # fmt: skip
    if kind == "bias":
        sizes = {HOSTILE: 2_600, "EWR": 2_000, "LGA": 1_400}
        return {
            "groups": [
                {
                    "facet": "origin",
                    "facet_value": name,
                    "group": {"rows": size, "predicted": size, "predicted_positive": size // 5},
                    "others": {"rows": 1, "predicted": 4, "predicted_positive": 1},
                }
                for name, size in sizes.items()
            ],
            "warnings": ["labels come more often for one group than for the others"],
        }
    return {}


def at_thresholds(positives: int, negatives: int, skill: float) -> list[list[int]]:
    """Count true and false positives at each hundredth; of more skill, fewer false ones."""
    left = 1 - np.linspace(0, 1, 101)
    true, false = positives * left**1.2, negatives * left ** (1.2 * skill)
    return np.column_stack([true, false]).round().astype(int).tolist()


def _declare_alarms(engine: Engine, url: str) -> None:
    shared = {
        "namespace": "Driftline", "statistic": "Maximum", "period": 604_800,
        "evaluation_periods": 1, "threshold": 0.0, "comparison_operator": "GreaterThanThreshold",
        "dimensions": {"Endpoint": "flights", "MonitoringSchedule": "flights-quality"},
    }  # fmt: skip
    slash, dots, hostile, silent = ALARM_NAMES
    alarms = (
        AlarmDefinition(
            alarm_name=slash, metric_name="pages", alarm_actions=("pager", "gone"),
            ok_actions=("refuses",), **shared,
        ),
        AlarmDefinition(
            alarm_name=dots, metric_name="violations", severity="ticket",
            alarm_actions=("refuses",), **shared,
        ),
        AlarmDefinition(
            alarm_name=hostile, metric_name="labelled_rows", severity="ticket",
            **{**shared, "threshold": 5_000.0, "comparison_operator": "LessThanThreshold"},
        ),
        AlarmDefinition(
            alarm_name=silent, metric_name="pages", **{**shared, "dimensions": {"Endpoint": "x"}}
        ),
    )  # fmt: skip
    with engine.begin() as connection:
        for name, path in (("pager", "ok"), ("gone", "gone"), ("refuses", "refuse")):
            put_channel(connection, Channel(name, f"{url}/{path}"), START)
        for alarm in alarms:
            put_alarm(connection, alarm, START)


def _tell(engine: Engine, time: datetime) -> None:
    def now() -> datetime:
        return time

    Evaluator(engine, now=now, dashboard_url="http://127.0.0.1:8081").step()
    deliverer = Deliverer(engine, now=now, allow_networks=("127.0.0.0/8",))
    deliverer.step()


class Answers(BaseHTTPRequestHandler):
    """Takes what goes to /ok, refuses what goes to /refuse, and is gone for good at /gone."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response({"/ok": 204, "/refuse": 503, "/gone": 410}[self.path])
        self.send_header("content-length", "0")
        self.end_headers()
