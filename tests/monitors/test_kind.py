import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, update

import driftline as dl
from driftline.app.drafts import draft_resources
from driftline.errors import InputError
from driftline.monitors.definitions import (
    DefinitionError,
    MonitorDefinition,
    list_definitions,
    put_definition,
)
from driftline.monitors.kind import KINDS, all_kinds, find_kind, kind_named, kind_names
from driftline.monitors.run.planning import list_states
from driftline.monitors.tables import definitions
from driftline.roles import Roles
from tests.plugged import plug_in, plugged_in

NOW = datetime(2024, 2, 1, tzinfo=UTC)
MODULE = """
from driftline.monitors.kind import Kind
from driftline.monitors.report.report import Report
KIND = Kind(
    name="acme-rows",
    evaluation="acme_kinds",
    needs="rows",
    default_alarms=({"title": "rows", "metric_name": "rows"},),
    is_deployable=lambda roles, has_model: has_model,
)
def evaluate(context):
    count = sum(batch.num_rows for batch in context.rows.batches())
    return Report(KIND.name, (), count)
def suggest(baseline):
    return {}
"""


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An installed package with a kind, as pip leaves it."""
    place = tmp_path_factory.mktemp("site")
    points = "[driftline.kinds]\nacme-rows = acme_kinds:KIND\n"
    with plugged_in(place, "acme_kinds", MODULE, points):
        yield str(place)


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InputError, match='kind "quality"; expected one of data-quality, model'):
        kind_named("quality")


@pytest.mark.usefixtures("package")
def test_another_package_adds_a_kind_that_is_checked_monitored_and_deployed() -> None:
    table = pd.DataFrame({"x": np.arange(600.0)})

    report = dl.check(table, dl.Baseline.fit(table), kind="acme-rows")
    monitors = [
        one["spec"]["kind"]
        for one in draft_resources("flights", Roles(), model="/m", reference="/r")
        if one["kind"] == "Monitor"
    ]

    assert (report.kind, report.row_count) == ("acme-rows", 600)
    assert MonitorDefinition("rows", "flights", "flights", kind="acme-rows").kind in kind_names()
    assert monitors == ["data-quality", "attribution", "acme-rows"]


def test_a_monitor_whose_kind_is_gone_stops_no_other(package: str, engine: Engine) -> None:
    with engine.begin() as connection:
        for kind in ("acme-rows", "bias"):
            put_definition(connection, MonitorDefinition(kind, "a", "a", kind=kind), NOW)
    sys.path.remove(package)

    with engine.connect() as connection:
        assert [one.name for one in list_definitions(connection)] == ["bias"]
        assert [one.definition.name for one in list_states(connection)] == ["bias"]


def test_a_kind_that_is_not_installed_is_refused() -> None:
    with pytest.raises(DefinitionError, match='kind "acme-rows"; expected one of data-quality'):
        MonitorDefinition("rows", "flights", "flights", kind="acme-rows")


@pytest.mark.parametrize("error", ["ImportError('its package is half installed')", "SystemExit(3)"])
def test_a_kind_that_cannot_be_loaded_stops_no_other(
    error: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_kind.cache_clear()
    torn = f"raise {error}\n"
    plug_in(tmp_path, "torn_kinds", torn, "[driftline.kinds]\ntorn-rows = torn_kinds:KIND\n")
    with engine.begin() as connection:
        put_definition(connection, MonitorDefinition("whole", "a", "a", kind="bias"), NOW)
        put_definition(connection, MonitorDefinition("torn", "a", "a", kind="bias"), NOW)
        connection.execute(
            update(definitions).where(definitions.c.name == "torn").values(kind="torn-rows")
        )
    monkeypatch.syspath_prepend(tmp_path)

    assert "torn-rows" in kind_names()
    assert tuple(kind.name for kind in all_kinds()) == tuple(KINDS)
    with engine.connect() as connection:
        assert [row.name for row in list_definitions(connection)] == ["whole"]
        assert [row.definition.name for row in list_states(connection)] == ["whole"]
