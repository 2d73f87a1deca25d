"""The kit itself, on one installation."""

from __future__ import annotations

import pandas as pd
import skops.io

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.waiting import wait


def test_a_stream_is_the_same_for_a_seed_and_changes_where_asked() -> None:
    orders = stream(ORDERS, rows=100, seed=1, start="2026-01-01T00:00Z", every="1h")
    changed = stream(ORDERS, rows=100, seed=1, change={"km": lambda km: km * 1_000})

    pd.testing.assert_frame_equal(orders.drop(columns="time"), stream(ORDERS, rows=100, seed=1))
    assert changed["km"].equals(orders["km"] * 1_000)
    assert changed["city"].equals(orders["city"])
    assert str(orders["time"].iloc[-1]) == "2026-01-05 03:00:00+00:00"


def test_an_installation_answers_captures_and_comes_back(installation: Installation) -> None:
    orders = labelled(stream(ORDERS, rows=500, seed=1))
    skops.io.dump(fit(orders), installation.folder / "late.skops")
    reference = orders[["km", "rain_mm", "late"]]
    reference.to_parquet(installation.folder / "reference.parquet")
    installation.done(
        "deploy", "late.skops", "--name", "late", "--reference", "reference.parquet",
        "--label", "late",
    )  # fmt: skip

    answers = [
        installation.invoke("late", orders[["km", "rain_mm"]][:3]),
        installation.invoke("late", {"instances": [{"km": 2.0, "rain_mm": 0.0}]}),
    ]
    first = installation.captured("late", 2)
    killed = installation.kill("background")
    installation.invoke("late", b"1.0,2.0\n")
    after = installation.captured("late", 3)
    installation.restart()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (len(first), len(after)) == (4, 5)
    assert killed not in installation.processes()
    wait(lambda: installation.invoke("late", b"1.0,2.0\n").status_code == 200)
