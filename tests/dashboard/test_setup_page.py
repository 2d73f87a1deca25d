"""The set-up: baselines with what their bounds would have done, channels, settings, tokens."""

import json

import plotly.utils
import pytest

from driftline.access.principal import Principal
from driftline.baseline import versions
from driftline.dashboard.address import baseline_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.run.bound_words import suggested_bounds
from tests.dashboard.policed_seed import texts
from tests.dashboard.seed import make_engine

TABS = {"": "viewer", "channels": "viewer", "settings": "operator", "tokens": "admin"}


@pytest.fixture(scope="module")
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def said(stores, address):
    path, _, query = address.partition("?")
    return texts(render(stores, parse(path, query)))


@pytest.mark.parametrize(
    ("tab", "empty"),
    [
        ("", "No baseline is stored yet. Deploying a model with a reference makes one."),
        ("channels", "No notification channel is configured"),
        ("channels", "driftline init DATA --channel URL"),
        ("settings", "This dashboard was started without settings."),
        ("tokens", "No token has been made yet."),
    ],
)
def test_an_empty_installation_says_what_to_do_on_each_tab(tmp_path, tab, empty):
    engine = make_engine(tmp_path / "driftline.db")
    stores = Stores(engine, str(tmp_path), lambda: None)

    assert empty in said(stores, f"/setup/{tab}".rstrip("/"))
    engine.dispose()


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin"])
@pytest.mark.parametrize(("tab", "takes"), TABS.items())
def test_each_tab_is_for_its_role_and_is_offered_to_it_alone(stores, as_role, tab, takes, role):
    may = Principal("ana", frozenset({role})).may(takes)
    as_role(role)

    text = json.dumps(render(stores, parse(f"/setup/{tab}")), cls=plotly.utils.PlotlyJSONEncoder)
    offered = json.dumps(render(stores, parse("/setup")), cls=plotly.utils.PlotlyJSONEncoder)

    assert (f"This takes the role {takes}; ana has {role}" in text) != may
    assert (f'"href": "{f"/setup/{tab}".rstrip("/")}"' in offered) == may


def test_bounds_are_those_of_the_document(stores, seeded):
    """The independent source is constraints.json, as `store` wrote it."""
    (version,) = versions.list_versions(seeded.root, "flights")
    baseline = versions.get(seeded.root, "flights", version.version)
    document = json.loads(baseline.constraints.to_json())
    late = next(one for one in document["features"] if one["name"] == "late")

    bounds = set(suggested_bounds(baseline, shows_values=True))

    assert round(late["completeness"], 3) == 0.964
    assert ("late", "a value in at least 96.4% of rows; never below 0") in bounds
    full = "a value in every row"
    assert ("distance", f"{full}; never below 0") in bounds
    assert ("dewp", full) in bounds
    assert ("origin", f"{full}; one of 3 values: EWR, JFK, LGA") in bounds


def test_values_of_columns_take_an_analyst(stores, as_role):
    as_role("viewer")
    text = said(stores, baseline_link("flights"))

    assert "one of 3 values" in text
    assert "EWR" not in text
