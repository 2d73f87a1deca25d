"""The board for Grafana and the rules for Prometheus ask only for what a scrape really has.

The queries are read by Prometheus' own grammar (promql-parser, a port of its parser), the scrape by
Prometheus' own client; names and labels of the one must stand in the other.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from driftline.alerts import tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.tables import passes
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.report.datapoints import DATA_METRICS
from driftline.monitors.tables import executions

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "driftline.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "driftline.rules.yml").read_text())
NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)  # The clock of the servers of these tests.
DAY = timedelta(days=1)
# Prometheus makes these itself; and an audit is written by another process, once an hour.
NOT_SCRAPED = {"up", "driftline_audit_adds_up"}


def board_queries() -> list[tuple[str, str]]:
    """Return title and query of everything that the board asks for."""
    found = [
        (panel["title"], target["expr"])
        for panel in BOARD["panels"]
        for target in panel.get("targets", [])
    ]
    for variable in BOARD["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("definition", ""))
        if match is not None:
            found.append((variable["name"], f"count by ({match[2]}) ({match[1]})"))
    return found


def rule_queries() -> list[tuple[str, str]]:
    return [(rule["alert"], rule["expr"]) for group in RULES["groups"] for rule in group["rules"]]


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """Return every selector of a query, wherever it stands."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (below := getattr(node, name, None)) is not None:
            yield from selectors(below)
    for below in getattr(node, "args", None) or ():
        yield from selectors(below)


def fill(connection: Any) -> None:
    """Let there be one of everything that the board shows."""
    definition = MonitorDefinition("daily", endpoint="late", baseline="late", start=NOW - 3 * DAY)
    put_definition(connection, definition, NOW - 3 * DAY)
    connection.execute(
        insert(executions).values(
            id="e", monitor="daily", kind="data-quality", endpoint="late", definition_version=1,
            baseline="late", baseline_version="1", window_start=NOW - 3 * DAY,
            window_end=NOW - 2 * DAY, digest="0", status="CompletedWithViolations",
            is_current=True, row_count=10, request_count=1, violation_count=2, page_count=1,
            max_drift_ratio=3.5, cause="", folder="", started_at=NOW, finished_at=NOW,
        )
    )  # fmt: skip
    where = {"Endpoint": "late", "MonitoringSchedule": "daily"}
    drift = Datapoint(
        DATA_METRICS, "feature_baseline_drift_age", where, NOW - 3 * DAY, value=0.5, period_s=86_400
    )
    put(connection, [drift], source="monitor:daily")
    alarm = {
        "alarm_name": "a", "namespace": "n", "metric_name": "m", "period": 60,
        "evaluation_periods": 1, "threshold": 0.0,
        "comparison_operator": "GreaterThanThreshold",
    }  # fmt: skip
    put_alarm(connection, AlarmDefinition.from_dict(alarm), NOW)
    put_channel(connection, Channel("hook", "https://example.com/x"), NOW)
    connection.execute(insert(passes).values(cadence_s=60, part=0, judged_until=NOW))
    connection.execute(
        insert(tables.outbox).values(
            id="msg_1", alarm_id=1, alarm_name="a", state_seq=1, channel="hook", state="ALARM",
            body=b"{}", content_type="application/json", created_at=NOW, next_attempt_at=NOW,
            status="failed",
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def scraped(start, trained, declare, tmp_path_factory) -> Mapping[str, set[str]]:
    """Return the labels of each series of a running server, by the series' name."""
    with start(tmp_path_factory.mktemp("board")) as server:
        server.apply(
            declare("Model", "late", path=str(trained.file)),
            declare("Endpoint", "late", model="late"),
        ).raise_for_status()
        assert server.invoke("late", trained.csv(slice(2))).status_code == 200
        with server.context.engine.begin() as connection:
            fill(connection)
        text = server.client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        if not family.samples:
            suffix = "_total" if family.type == "counter" else ""
            found[f"{family.name}{suffix}"] = {"endpoint", "reason"}
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_query_asks_for_what_a_scrape_has(scraped):
    for title, query in [*board_queries(), *rule_queries()]:
        plain = re.sub(r"\$(endpoint|monitor)", ".*", query.replace("$__rate_interval", "5m"))
        grouped = re.findall(r" by \(([^)]*)\)", plain)[:1]

        asked = list(selectors(promql_parser.parse(plain)))

        assert asked, title
        for one in asked:
            if one.name in NOT_SCRAPED:
                continue
            assert one.name in scraped, f"{title}: {one.name} is on no scrape"
            labels = {matcher.name for matcher in one.matchers.matchers}
            labels |= {name.strip() for names in grouped for name in names.split(",")}
            assert labels <= scraped[one.name], f"{title}: {labels} of {one.name}"


def test_the_board_asks_the_data_source_that_its_reader_chooses():
    sources = {
        one["datasource"]["uid"]
        for panel in BOARD["panels"]
        for one in (panel, *panel.get("targets", []))
        if "datasource" in one
    }
    assert sources == {"${datasource}"}
