"""When load is raised no further, what a configuration costs, and which one is recommended."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.app.recommend.findings import Findings
from driftline.app.recommend.phases import Measured, Phase, peak, why_last
from driftline.app.recommend.prices import Cost, Prices, cost_of
from driftline.app.recommend.trial import Candidate, Result, candidates
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


def result(name: str, rate: float, p95_ms: float, *, workers: int = 1, **more) -> Result:
    found = phase(4, rate, p95_ms, more.pop("cores", 1.0))
    return Result(Candidate(name, "late.skops", workers), [found], found, "flat", **more)


@pytest.mark.parametrize(
    ("found", "max_p95_ms", "ending", "users"),
    [
        # 5% is growth, a little less is flat: then less load gives as much, and answers sooner.
        ([phase(1, 1000), phase(2, 1050)], None, None, 2),
        ([phase(1, 1000), phase(2, 1049)], None, "flat: +4.9% invocations with 2 users", 1),
        ([phase(1, 1000), phase(2, 1900), phase(4, 1500)], None, "flat: -21.1%", 2),
        ([phase(1, 1000, 5), phase(2, 1900, 21)], 20.0, "P95 of 21 ms with 2 users, above 20", 1),
        ([phase(1, 1000, 5), phase(2, 1900, 20)], 20.0, None, 2),
        ([phase(1, 1000, 30)], 20.0, "P95 of 30 ms", None),
        ([phase(1, 1000, 30)], None, None, 1),
    ],
)
def test_load_is_raised_until_it_is_flat_or_slow_and_the_peak_is_before(
    found, max_p95_ms, ending, users
) -> None:
    best, why = peak(found, max_p95_ms), why_last(found, max_p95_ms)

    assert (best and best.users) == users
    assert why is None if ending is None else why is not None and why.startswith(ending)


def test_phases_are_read_as_users_spawn_and_seconds() -> None:
    assert Phase.read("8") == Phase(8, 0, 2.0)
    assert Phase.read("2:60:0.5") == Phase(2, 60, 0.5)
    for wrong in ("0", "2:x", "2:60:0", "-1", "2:60:5:1", ""):
        with pytest.raises(InputError, match=r"expected USERS\[:SPAWN\[:SECONDS\]\]"):
            Phase.read(wrong)


def test_workers_go_up_to_the_cores_and_threads_fill_them() -> None:
    found = candidates([("skops", "a.skops"), ("onnx", "a.onnx")], 4)

    assert [one.name for one in found if one.runtime == "skops"] == [
        "skops 1x1", "skops 2x1", "skops 1x4", "skops 2x2", "skops 4x1",
        "skops 1x1 alone", "skops 2x1 alone", "skops 4x1 alone", "skops serverless 1G",
    ]  # fmt: skip
    assert len(found) == 18
    assert max(one.workers for one in candidates([("skops", "a.skops")], 3)) == 3


def test_the_cheapest_machine_that_is_large_enough_is_paid_for(tmp_path: Path) -> None:
    """SageMaker's CostPerInference = CostPerHour / (MaxInvocations * 60)."""
    (tmp_path / "prices.toml").write_text(PRICES)
    prices = Prices.read(tmp_path / "prices.toml")

    assert cost_of(prices, phase(4, 1000, cores=1.9), 1, None) == Cost(0.1, 0.1 / 60_000, "small")
    # More cores than it has were busy, or are asked for by workers and threads.
    assert cost_of(prices, phase(4, 1000, cores=2.5), 1, None) == Cost(0.4, 0.4 / 60_000, "large")
    assert cost_of(prices, phase(4, 1000), 4, None) == Cost(0.4, 0.4 / 60_000, "large")
    assert cost_of(prices, phase(4, 1000), 9, None) is None
    # 2 GiB for the 2.5 ms that half of the calls take at most.
    serverless = cost_of(prices, phase(4, 1000), 2, 2048)
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


def test_the_front_is_what_no_other_beats_and_most_calls_win() -> None:
    """Within 5% of the most, fewer threads win."""
    fast, near = result("fast", 1000, 9, workers=2, cores=2.0), result("near", 960, 8, cores=1.0)
    slow, quick = result("slow", 500, 9, cores=2.0), result("quick", 400, 2, cores=0.5)
    failed = Result(Candidate("none", "x", 1), [], None, "the model cannot be loaded")
    found = Findings([fast, near, slow, quick, failed])

    best, reason = found.best

    assert [one.candidate.runtime for one in found.front] == ["fast", "near", "quick"]
    assert best is near
    assert reason == "the most invocations a minute (1,000); within 5% of it is fast 2x1"


def test_what_another_one_beats_in_all_is_not_recommended_within_5_percent() -> None:
    first, better = result("first", 990, 9), result("better", 1000, 8)

    assert Findings([first, better]).best[0] is better


def test_with_prices_the_cheapest_call_wins() -> None:
    dear = result("dear", 2000, 5, cost=Cost(1.0, 1.0 / 120_000, "large"))
    cheap = result("cheap", 1000, 6, cost=Cost(0.1, 0.1 / 60_000, "small"))
    found = Findings([dear, cheap, result("unpriced", 3000, 1)], currency="EUR")

    best, reason = found.best

    assert best is cheap
    assert reason == "the lowest cost (1.67 EUR a million invocations)"
    document = found.document("late", "late.skops")
    assert document["results"][1]["cost"]["per_hour"] == 0.1
    assert document["resources"][0]["spec"] == {"path": "late.skops"}


def test_without_a_usable_configuration_nothing_is_recommended() -> None:
    found = Findings([Result(Candidate("skops", "x", 1), [], None, "P95 of 30 ms")])

    with pytest.raises(UndecidedError, match="skops 1x1: P95 of 30 ms"):
        found.best  # noqa: B018
