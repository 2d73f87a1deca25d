"""The board for Grafana and the rules for Prometheus ask only for what a scrape really has.

The queries are read by Prometheus' own grammar (promql-parser, a port of its parser), the scrape by
Prometheus' own client; names of the one must stand in the other.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.metrics.test_exposition import samples_of

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "driftline.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "driftline.rules.yml").read_text())
# Prometheus makes the first itself; an audit is written by another process, once an hour.
NOT_SCRAPED = {"up", "driftline_audit_adds_up"}


def queries() -> Iterator[tuple[str, str]]:
    """Return title and query of all that the board and the rules ask for."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in BOARD["templating"]["list"]:
        if match := re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("definition", "")):
            yield variable["name"], f"count by ({match[2]}) ({match[1]})"
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """Return every selector of a query, wherever it stands."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    below = [getattr(node, one, None) for one in ("expr", "lhs", "rhs", "vector_selector", "param")]
    for one in [*below, *(getattr(node, "args", None) or ())]:
        if one is not None:
            yield from selectors(one)


@pytest.fixture(scope="module")
def scrape(start, trained, declare, tmp_path_factory) -> httpx.Response:
    """Return what a server tells that has had some traffic."""
    with start(tmp_path_factory.mktemp("board")) as server:
        model = declare("Model", "late", path=str(trained.file))
        server.must_apply(model, declare("Endpoint", "late", model="late"))
        for _ in range(3):
            assert server.invoke("late", trained.csv(slice(2))).status_code == 200
        server.invoke("late", "<a/>", content_type="text/xml")
        server.invoke("x" * 50, "1")
        return server.client.get("/metrics")


def test_traffic_is_counted_by_endpoint_and_status(scrape):
    assert scrape.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples_of(scrape.text)
    assert found["driftline_invocations_total"] == {
        ("200", "late"): 3, ("415", "late"): 1, ("404", ""): 1,
    }  # fmt: skip
    assert found["driftline_invocation_seconds_count"][("late",)] == 4
    assert found["driftline_database_up"][()] == 1
    assert found["driftline_spool_bytes"][()] > 0


def test_every_query_asks_for_what_a_scrape_has(scrape):
    scraped = set(NOT_SCRAPED)
    for family in text_string_to_metric_families(scrape.text):
        scraped |= {family.name, f"{family.name}_total"} | {one.name for one in family.samples}
    for title, query in queries():
        plain = re.sub(r"\$(endpoint|monitor)", ".*", query.replace("$__rate_interval", "5m"))

        asked = {one.name for one in selectors(promql_parser.parse(plain))}

        assert asked, title
        assert asked <= scraped, title
