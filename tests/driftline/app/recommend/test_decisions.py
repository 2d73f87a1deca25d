"""When load is raised no further, what a configuration costs, and which one is recommended."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.app.recommend.findings import Instance, Prices, recommend
from driftline.app.recommend.load import Measured, Phase, why_no_more
from driftline.app.recommend.trial import Candidate, Cost, Result, candidates
from driftline.errors import InputError, UndecidedError

PRICES = """
currency = "EUR"
per_gib_second = 0.00002
[[instance]]
name = "large"
cores = 8
memory_gib = 32
per_hour = 0.40
[[instance]]
name = "small"
cores = 2
memory_gib = 4
per_hour = 0.10
"""


def phase(users: int, rate: float, p95_ms: float = 5.0, cores: float = 1.0) -> Measured:
    return Measured(users, rate, 0.02, p95_ms / 2, p95_ms, 2 * p95_ms, cores, 300.0)


def result(name: str, rate: float, *, workers: int = 1, cores: float = 1.0, **more) -> Result:
    found = phase(4, rate, cores=cores)
    return Result(Candidate(name, "late.skops", workers, **more), [found], found, "flat")


@pytest.mark.parametrize(
    ("peak", "now", "max_p95_ms", "why"),
    [
        # 5% is growth, a little less is flat: then less load gives as much, and answers sooner.
        (phase(1, 1000), phase(2, 1050), None, None),
        (phase(1, 1000), phase(2, 1049), None, "flat: +4.9% invocations with 2 users"),
        (phase(2, 1900), phase(4, 1500), None, "flat: -21.1%"),
        (phase(1, 1000, 5), phase(2, 1900, 21), 20.0, "P95 of 21 ms with 2 users, above 20"),
        (phase(1, 1000, 5), phase(2, 1900, 20), 20.0, None),
        (None, phase(1, 1000, 30), 20.0, "P95 of 30 ms"),
        (None, phase(1, 1000, 30), None, None),
    ],
)
def test_load_is_raised_until_it_is_flat_or_slow(peak, now, max_p95_ms, why) -> None:
    found = why_no_more(peak, now, max_p95_ms)

    assert found is None if why is None else found is not None and found.startswith(why)


def test_phases_are_read_as_users_spawn_and_seconds() -> None:
    assert Phase.read("8") == Phase(8, 0, 2.0)
    assert Phase.read("2:60:0.5") == Phase(2, 60, 0.5)
    for wrong in ("0", "2:x", "2:60:0", "-1", "2:60:5:1", ""):
        with pytest.raises(InputError, match=r"expected USERS\[:SPAWN\[:SECONDS\]\]"):
            Phase.read(wrong)


def test_workers_go_up_to_the_cores_and_threads_fill_them() -> None:
    found = candidates({"skops": "a.skops", "onnx": "a.onnx"}, 4)

    assert [one.name for one in found if one.runtime == "skops"] == [
        "skops 1x1", "skops 2x1", "skops 1x4", "skops 2x2", "skops 4x1",
        "skops 1x1 alone", "skops 2x1 alone", "skops 4x1 alone", "skops serverless 1G",
    ]  # fmt: skip
    assert len(found) == 18
    assert max(one.workers for one in candidates({"skops": "a.skops"}, 3)) == 3


def test_the_cheapest_machine_that_is_large_enough_is_paid_for(tmp_path: Path) -> None:
    """SageMaker's CostPerInference = CostPerHour / (MaxInvocations * 60)."""
    (tmp_path / "prices.toml").write_text(PRICES)
    prices = Prices.read(tmp_path / "prices.toml")

    def cost(**asked) -> Cost | None:
        return prices.cost(result("skops", 1000, **asked))

    assert cost(cores=1.9) == Cost(0.1, 0.1 / 60_000, "small")
    # More cores than it has were busy, or are asked for by workers and threads.
    assert cost(cores=2.5) == Cost(0.4, 0.4 / 60_000, "large")
    assert cost(workers=2, threads=2) == Cost(0.4, 0.4 / 60_000, "large")
    assert cost(workers=9) is None
    # 2 GiB for the 2.5 ms that half of the calls take at most.
    serverless = cost(memory_mb=2048)
    assert serverless is not None
    assert serverless.per_inference == pytest.approx(2 * 0.0025 * 0.00002)
    assert serverless.per_hour == pytest.approx(60_000 * serverless.per_inference)


@pytest.mark.parametrize(
    "text", ["[[instance]]\nname = 'a'", "currency = 1", "gb = 2", "x", "per_gib_second = -1"]
)
def test_a_price_table_with_a_fault_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.toml").write_text(text)

    with pytest.raises(InputError, match=r"prices\.toml: "):
        Prices.read(tmp_path / "prices.toml")


def test_the_most_calls_win_or_fewer_threads_within_5_percent() -> None:
    fast, near = result("fast", 1000, workers=2), result("near", 960)
    failed = Result(Candidate("none", "x", 1), [], None, "the model cannot be loaded")
    found = recommend([fast, near, result("alike", 955), result("slow", 900), failed], Prices())

    assert found.best.candidate.runtime == "near"
    assert found.reason == (
        "the most invocations a minute (1,000); within 5% of it is fast 2x1, alike 1x1"
    )


def test_with_prices_the_cheapest_call_wins() -> None:
    machines = [
        Instance(name=name, cores=cores, memory_gib=8, per_hour=price)
        for name, cores, price in (("large", 8, 1.0), ("small", 2, 0.1))
    ]
    measured = [
        result("dear", 2000, workers=4), result("cheap", 1000), result("unpriced", 3000, workers=9)
    ]  # fmt: skip
    found = recommend(measured, Prices(currency="EUR", instance=machines))

    assert found.best.candidate.runtime == "cheap"
    assert found.reason == "the lowest cost (1.67 EUR a million invocations)"
    document = found.document("late", "late.skops")
    assert document["results"][1]["cost"]["per_hour"] == 0.1
    assert document["results"][2]["cost"] is None
    assert document["resources"][0]["spec"] == {"path": "late.skops"}


def test_a_page_escapes_what_it_shows_and_leaves_out_columns_without_values() -> None:
    page = recommend([result("<i>", 1000)], Prices(), ["a & b"]).page("<b>")

    assert "<title>&lt;b&gt; " in page
    assert "<b>&lt;i&gt; 1x1</b>" in page
    assert "a &amp; b" in page
    assert "cost/hour" not in page


def test_without_a_usable_configuration_nothing_is_recommended() -> None:
    with pytest.raises(UndecidedError, match="skops 1x1: P95 of 30 ms"):
        recommend([Result(Candidate("skops", "x", 1), [], None, "P95 of 30 ms")], Prices())
