"""The board for Grafana and the rules for Prometheus ask only for what a scrape really has.

The queries are read by Prometheus' own grammar (promql-parser, a port of its parser), the scrape by
Prometheus' own client; names and labels of the one must stand in the other.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from driftline.alerts.tables import passes
from tests.serving.api.tour import populated
from tests.serving.conftest import NOW

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "driftline.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "driftline.rules.yml").read_text())
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


@pytest.fixture(scope="module")
def scraped(tmp_path_factory) -> Mapping[str, set[str]]:
    """Return the labels of each series of a running server, by the series' name."""
    with populated(tmp_path_factory.mktemp("board")) as server:
        assert server.invoke("flights", "UA,EWR,1400,39.02").status_code == 200
        with server.context.engine.begin() as connection:
            connection.execute(insert(passes).values(cadence_s=60, part=0, judged_until=NOW))
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
