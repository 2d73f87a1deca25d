"""`dl.Monitor` goes on after a stop, and refuses what it cannot go on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import driftline as dl
from driftline.errors import InputError, NotFoundError
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.monitor import _digest
from tests.monitors.conftest import DAY, START, weather


def test_a_cause_that_the_window_told_before_it_was_given_again_stays_told(
    reference: dl.Baseline, rng: np.random.Generator
) -> None:
    monitor, usual = dl.Monitor(reference), weather(rng, 400)
    broken = pa.table({**usual, "wind": usual["wind"] * 1000})
    monitor.check(broken, time=START)
    monitor.check(pa.table(usual), time=START)

    report = monitor.check(broken, time=START + DAY)

    assert {one.first_window for one in report.violations} == {START}


@pytest.fixture(scope="module")
def small() -> dl.Baseline:
    rng = np.random.default_rng(5)
    hours = pd.date_range("2023-10-01", periods=24 * 92, freq="h", tz="UTC")
    return dl.Baseline.fit(
        pa.table({"at": pa.array(hours), **weather(rng, len(hours))}),
        timestamp="at",
        segments=["origin"],
    )


def hourly(day: int, factor: float = 1.0) -> pa.Table:
    hours = pd.date_range(START + day * DAY, periods=24, freq="h")
    rows = weather(np.random.default_rng(day), 24)
    return pa.table({"at": pa.array(hours), **rows, "temp": rows["temp"] * factor})


def saved(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@settings(max_examples=8)
@given(
    windows=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([1.0, 1.1, 5.0])), min_size=2, max_size=12
    ),
    stop=st.integers(1, 11),
    kind=st.sampled_from(["data-quality", "joint"]),
)
def test_going_on_after_a_stop_gives_the_bytes_of_never_having_stopped(
    small: dl.Baseline,
    tmp_path_factory: pytest.TempPathFactory,
    windows: list[tuple[int, float]],
    stop: int,
    kind: str,
) -> None:
    folder = tmp_path_factory.mktemp("monitor")
    whole = dl.Monitor(small, kind=kind)
    for day, factor in windows[:stop]:
        whole.check(hourly(day, factor), time=START + day * DAY)
    whole.save(folder / "stopped")

    resumed = dl.Monitor.load(folder / "stopped")

    for day, factor in windows[stop:]:
        rows, time = hourly(day, factor), START + day * DAY
        found, other = (one.check(rows, time=time).documents() for one in (whole, resumed))
        assert found == other
    whole.save(folder / "whole")
    resumed.save(folder / "resumed")
    assert saved(folder / "resumed") == saved(folder / "whole")


@pytest.fixture(scope="module")
def stopped(small: dl.Baseline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    monitor = dl.Monitor(small, rules=["temp < 200"], segments=[])
    for day in range(3):
        monitor.check(hourly(day), time=START + day * DAY)
    monitor.save(folder)
    return folder


def test_a_loaded_monitor_asks_what_it_asked_before(stopped: Path) -> None:
    monitor = dl.Monitor.load(stopped)

    report = monitor.check(hourly(3, 20.0), time=START + 3 * DAY)

    assert report.details["rules"][0]["passed"] is False
    assert report.segments == ()
    assert repr(monitor) == "<Monitor data-quality: 4 windows until 2024-01-05T00:00:00Z>"


@given(at=st.floats(0, 1, exclude_max=True))
def test_a_changed_bit_of_the_state_is_refused(
    stopped: Path, tmp_path_factory: pytest.TempPathFactory, at: float
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    text = bytearray((stopped / "monitor.json").read_bytes())
    text[int(at * len(text))] ^= 1
    (folder / "monitor.json").write_bytes(text)

    with pytest.raises(InputError, match=r"monitor\.json: the file is damaged \([^\n]+\); take it"):
        dl.Monitor.load(folder)


@pytest.mark.parametrize("name", ["statistics.json", "constraints.json", "profile.parquet"])
def test_a_folder_with_another_baseline_is_refused(
    stopped: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "monitor"
    shutil.copytree(stopped, folder)
    (file,) = folder.rglob(name)
    file.write_bytes(file.read_bytes().replace(b"temp", b"tamp"))

    with pytest.raises(InputError, match="damaged"):
        dl.Monitor.load(folder)


@pytest.mark.parametrize("form", ["a list", "an object", "a file"])
def test_rules_of_a_folder_of_others_run_no_script(
    stopped: Path, tmp_path: Path, form: str
) -> None:
    folder, script, ran = tmp_path / "monitor", tmp_path / "theirs.py", tmp_path / "ran"
    shutil.copytree(stopped, folder)
    script.write_text(f"import os\nos.mkdir({str(ran)!r})\ndef check(table):\n    return True\n")
    rules = [{"check": f"{script}:check"}]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    forms = {"a list": rules, "an object": {"rules": rules}, "a file": f"{tmp_path}/rules.json"}
    state = {**json.loads((folder / "monitor.json").read_text()), "rules": forms[form]}
    del state["digest"]
    (folder / "monitor.json").write_text(json.dumps({**state, "digest": _digest(state)}))
    before = saved(tmp_path)

    with pytest.raises(InputError, match=r"monitor\.json: .*theirs\.py|rules are .*; expected a"):
        dl.Monitor.load(folder).check(hourly(3), time=START + 3 * DAY)

    assert not ran.exists()
    assert saved(tmp_path) == before


def test_a_loaded_monitor_reads_no_table_that_its_caller_does_not_name(
    small: dl.Baseline, tmp_path: Path
) -> None:
    table, folder = str(tmp_path / "known.csv"), tmp_path / "monitor"
    Path(table).write_text("x\n1\n")
    rule = {"check": "foreign_key", "column": "x", "table": table}
    dl.Monitor(small, rules=[rule]).save(folder)

    with pytest.raises(InputError, match=r"a rule reads table .*known\.csv'; if you trust it"):
        dl.Monitor.load(folder)

    for part in (table[1:], f"{table}.gz"):
        with pytest.raises(InputError, match="a rule reads table"):
            dl.Monitor.load(folder, tables=part)

    assert dl.Monitor.load(folder, tables=[table]).rules.to_list() == [rule]
    assert dl.Monitor.load(folder, tables=table).rules.to_list() == [rule]


def test_a_folder_without_a_monitor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no monitor\.json in it; expected a folder that"):
        dl.Monitor.load(tmp_path)


@pytest.mark.parametrize("content", ['{"name": "another tool\'s"}', '{"format": 99}', "text"])
def test_a_file_of_others_is_not_written_over(
    small: dl.Baseline, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "monitor.json"
    file.write_text(content)

    with pytest.raises(InputError, match="save into another folder"):
        dl.Monitor(small).save(tmp_path)

    assert [*tmp_path.iterdir()] == [file]
    assert file.read_text() == content


def test_a_rule_that_is_a_function_cannot_be_saved(small: dl.Baseline, tmp_path: Path) -> None:
    monitor = dl.Monitor(small, checks=[lambda batch: [True] * len(batch)])

    with pytest.raises(InputError, match="a rule is a function, which no document can hold"):
        monitor.save(tmp_path)


def test_a_window_without_rows_is_undecided_and_leaves_nothing(small: dl.Baseline) -> None:
    monitor = dl.Monitor(small)

    report = monitor.check(hourly(0).slice(0, 0), time=START)

    assert not report.decided
    assert repr(monitor) == "<Monitor data-quality: 0 windows>"


@pytest.mark.full
def test_the_state_is_bounded(tmp_path: Path) -> None:
    rows = pa.table(weather(np.random.default_rng(3), 30)).select(["temp", "stops"])
    many = pa.table(weather(np.random.default_rng(1), 2_000)).select(["temp", "stops"])
    monitor = dl.Monitor(dl.Baseline.fit(many))

    def state() -> dict[str, int]:
        monitor.save(tmp_path)
        content = json.loads((tmp_path / "monitor.json").read_text())
        return {name: len(content[name]) for name in ("windows", "layouts", "counts")}

    for at in range(131):
        monitor.check(rows.drop_columns(["temp"]) if at < 20 else rows, time=START + at * DAY)
    full = state()
    for at in range(131, 140):
        monitor.check(rows, time=START + at * DAY)

    # Of windows the last 128 and this one; of counts those of 90 days, and the first.
    assert full == state() == {"windows": 129, "layouts": 2, "counts": 104}


def test_what_answers_come_to_is_new_once(rng: np.random.Generator) -> None:
    def answers(wrong: float) -> pa.Table:
        label = rng.integers(0, 2, 4_000)
        flip = rng.random(4_000) < wrong
        return pa.table({"x": rng.normal(size=4_000), "y": label, "guess": label ^ flip})

    baseline = dl.Baseline.fit(answers(0.1), label="y", prediction="guess", problem="binary")
    monitor = dl.Monitor(baseline, kind="model-quality")

    first, second = (monitor.check(answers(0.4), time=START + at * DAY) for at in range(2))

    assert {one.first_window for one in first.violations} == {None}
    assert {one.first_window for one in second.violations} == {START}


def test_attributions_that_are_ready_need_no_model(rng: np.random.Generator) -> None:
    def draw(rows: int, last: float = 1.0) -> pa.Table:
        return pa.table({"a": 3 * rng.normal(size=rows), "b": last * rng.normal(size=rows)})

    rows = draw(2_000)
    baseline = explain_reference(open_source(rows), dl.Baseline.fit(rows), None)

    report = dl.Monitor(baseline, kind="attribution").check(draw(400, 9.0), time=START)

    assert report.details["method"] == "given"
    assert "b " in report.cause
