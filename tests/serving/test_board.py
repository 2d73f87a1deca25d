"""The board for Grafana and the rules for Prometheus ask only for what a scrape really has.

The queries are read by Prometheus' own grammar (promql-parser, a port of its parser), the scrape by
Prometheus' own client; names of the one must stand in the other.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "driftline.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "driftline.rules.yml").read_text())
# Prometheus makes the first itself; an audit is written by another process, once an hour.
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


@pytest.fixture(scope="module")
def scraped(start, trained, declare, tmp_path_factory) -> set[str]:
    """Return the names of the series of a running server."""
    with start(tmp_path_factory.mktemp("board")) as server:
        server.apply(
            declare("Model", "late", path=str(trained.file)),
            declare("Endpoint", "late", model="late"),
        ).raise_for_status()
        assert server.invoke("late", trained.csv(slice(2))).status_code == 200
        text = server.client.get("/metrics").text
    found = set(NOT_SCRAPED)
    for family in text_string_to_metric_families(text):
        found |= {family.name, f"{family.name}_total"} | {one.name for one in family.samples}
    return found


def test_every_query_asks_for_what_a_scrape_has(scraped):
    for title, query in [*board_queries(), *rule_queries()]:
        plain = re.sub(r"\$(endpoint|monitor)", ".*", query.replace("$__rate_interval", "5m"))

        asked = {one.name for one in selectors(promql_parser.parse(plain))}

        assert asked, title
        assert asked <= scraped, title
