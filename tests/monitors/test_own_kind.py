"""The kind of docs/your-own-monitor.md as a package: it does all that the built-in kinds do."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

import driftline as dl
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm, put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.app.cli import build
from driftline.app.drafts import draft_resources
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.dashboard.pages.measured import page
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run.scheduler import Scheduler
from driftline.roles import Roles
from driftline.serving.provisioning.definitions import definition_of
from driftline.serving.resources.resources import parse_resources
from tests.monitors.conftest import DAY, START, Append, weather

PAGE = Path(__file__).parents[2] / "docs" / "your-own-monitor.md"
NAME = "flights-acme-repeats"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's two files, as pip installs them."""
    section = PAGE.read_text().split("## A package in Python\n")[1]
    blocks = dict(re.findall(r"^```(text|python)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    project = tomllib.loads(blocks["text"])["project"]
    place = tmp_path / "site"
    about = place / f"acme_repeats-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = ["[driftline.kinds]"]
    lines += [f"{name} = {at}" for name, at in project["entry-points"]["driftline.kinds"].items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    (place / "acme_repeats.py").write_text(blocks["python"])
    monkeypatch.syspath_prepend(place)
    yield


@pytest.mark.usefixtures("package")
def test_it_is_listed_and_checks_files(reference: Baseline, rng: np.random.Generator) -> None:
    rows = {name: values[:1].repeat(50) for name, values in weather(rng, 1).items()}

    listed = json.loads(CliRunner().invoke(build("plugins"), ["plugins", "--json"]).stdout)
    broken = dl.check(rows, reference, kind="acme-repeats")
    calm = dl.check(weather(rng, 50), reference, kind="ACME_repeats")

    assert {
        "group": "driftline.kinds", "name": "acme-repeats", "package": "acme-repeats",
        "version": "1.0", "object": "acme_repeats:KIND",
    } in listed  # fmt: skip
    assert (broken.passed, calm.passed) == (False, True)
    assert broken.violations[0].cause == "98% of the rows are copies; expected at most 50%"


@pytest.mark.usefixtures("package")
def test_it_is_deployed_scheduled_alarmed_on_and_shown(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    declared = parse_resources(draft_resources("flights", Roles(), model="/m", reference="/r"))
    definitions = [definition_of(one) for one in declared if "repeat" in one.name]
    versions.put(root, "flights", reference, lambda: START)
    now = [START]
    with engine.begin() as connection:
        for one in definitions:
            if isinstance(one, MonitorDefinition):
                put_definition(connection, one, START)
            elif isinstance(one, AlarmDefinition):
                put_alarm(connection, one, START)
    append(0, weather(rng, 40))
    append(1, {name: values[:1].repeat(40) for name, values in weather(rng, 1).items()}, first=1)
    scheduler = Scheduler(engine, root, lambda _: reference.signature, now=lambda: now[0])
    evaluator = Evaluator(engine, now=lambda: now[0])
    states, ran = [], []
    for day in (1, 2):
        now[0] = START + day * DAY + timedelta(minutes=1)
        ran += scheduler.step()
        evaluator.step()
        with engine.connect() as connection:
            states.append(get_alarm(connection, "flights: repeated rows").state)
    views = [
        str(page(Stores(engine, root, lambda: now[0]).measured(NAME, one.window.stamp, None)))
        for one in ran
    ]

    assert [type(one).__name__ for one in definitions] == ["MonitorDefinition", "AlarmDefinition"]
    assert [one.status for one in ran] == ["Completed", "CompletedWithViolations"]
    assert states == ["OK", "ALARM"]
    assert "rows, no violations" in views[0]
    assert "98% of the rows are copies; expected at most 50%" in views[1]
    for view in views:
        assert "What it measures" in view
        assert "the share of rows that are copies of another" in view
    with engine.connect() as connection:
        own = {"Endpoint": "flights", "MonitoringSchedule": NAME}
        assert metrics.find(connection, "Driftline", "repeated_share", own) is not None
