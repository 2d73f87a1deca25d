"""A person asks to be forgotten: rows, labels, reports, database and notifications lose them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import driftline as dl
from tests.kit.data import TODAY, YESTERDAY, choice, normal, stream
from tests.kit.installation import Installation
from tests.kit.receiver import Receiver
from tests.kit.resources import alarm_on, resource

pytestmark = pytest.mark.slow

NAME, CUSTOMER = "Ada Lovelace", "customer-ada"
PEOPLE = {"age": normal(40, 8, digits=0), "name": choice("Bo", "Cy", "Di"), "score": normal(0, 1)}
NOON = YESTERDAY + timedelta(hours=12)


def log_people(shop: Installation, ids: list[str], names: list[str]) -> None:
    """Record one answer for each, as an app of its own does."""
    rows = stream(PEOPLE, rows=len(ids), seed=2).to_dict("records")
    with dl.Logger("people", spool_dir=shop.folder / "store" / "spool") as log:
        for key, name, row in zip(ids, names, rows, strict=True):
            asked = {"age": row["age"], "name": name}
            log(asked, row["score"], inference_id=key, event_time=NOON.isoformat())


@pytest.fixture
def shop(tmp_path: Path, receiver: Receiver) -> Iterator[Installation]:
    """Start an installation that looks every second for what was asked to be erased."""
    with Installation(tmp_path / "shop", is_forked=True) as running:
        declare(running, receiver)
        yield running


def declare(installation: Installation, receiver: Receiver) -> None:
    """Make an endpoint, an alarm on it, and rows that name a person."""
    past = installation.folder / "people.parquet"
    stream(PEOPLE, rows=2_000, seed=1).to_parquet(past)
    installation.apply(
        resource("Baseline", "people", data=str(past), prediction="score"),
        resource("Endpoint", "people", baseline="people", trust_event_time=True),
        resource(
            "Monitor", "people", endpoint="people", baseline="people", schedule="external"
        ),
        receiver.channel(),
        alarm_on("people", "pager", period=86_400),
    )  # fmt: skip
    ids = [f"other-{number}" for number in range(140)]
    ada = [f"{CUSTOMER}-{number}" for number in range(60)]
    log_people(installation, [*ids, *ada], ["Bo", "Cy"] * 70 + [NAME] * 60)
    installation.captured("people", 200)


def traces(folder: Path, secrets: list[str]) -> set[str]:
    """Return the files that hold one of these texts, by the values of Parquet files as well."""
    found = set()
    for file in folder.rglob("*"):
        if not file.is_file() or "spool" in file.parts:
            continue
        content = file.read_bytes()
        if file.suffix == ".parquet":
            content += repr(pq.read_table(file).to_pylist()).encode()
        if any(secret.encode() in content for secret in secrets):
            found.add(file.relative_to(folder).as_posix())
    return found


def test_nothing_of_an_erased_person_is_left(shop: Installation, receiver: Receiver) -> None:
    store, secrets = shop.folder / "store", [NAME, CUSTOMER]
    (shop.folder / "labels.csv").write_text(f"id,label\n{CUSTOMER}-1,1.0\nother-1,0.5\n")
    shop.done("truth", "load", "labels.csv", "--endpoint", "people")
    judged = shop.judge("people", YESTERDAY, TODAY)
    page = shop.wait(lambda: next(iter(receiver.messages), None))
    before = traces(store, secrets)

    erase = ("capture", "erase", "--endpoint", "people", "--where", f"name == '{NAME}'")
    shop.done(*erase, "--dry-run")
    assert len(shop.table("people")) == 200
    erased = json.loads(shop.done(*erase, "--json"))

    assert judged.returncode == 1
    assert NAME in judged.stdout
    assert page.cause
    assert {path.partition("/")[0] for path in before} >= {"capture", "truth", "executions"}
    counts = erased["endpoints"]["people"]
    assert (counts["requests"], counts["rows"], counts["labels"]) == (60, 60, 1)
    assert traces(store, secrets) == set()
    rows = shop.table("people")
    assert (len(rows), set(rows["feature_name"])) == (140, {"Bo", "Cy"})
    assert set(shop.table("people", "truth")["key"]) == {"other-1"}
    # Who erased is known, and who was erased is not.
    assert NAME not in shop.done("audit", "--json")
    assert CUSTOMER not in shop.done("audit", "--json")
    # What was judged keeps its counts; its documents are made again from the rows that are left.
    (execution,) = shop.get("/api/v1/monitors/people/executions")["items"]
    assert (execution["row_count"], execution["cause"]) == (200, "(erased)")
    assert shop.reports("people") == {}
    shop.judge("people", YESTERDAY, TODAY)
    (report,) = shop.reports("people").values()
    assert report["row_count"] == 140
    assert traces(store, secrets) == set()
    shop.done("capture", "audit")


def test_what_comes_later_under_an_erased_id_is_dropped(shop: Installation) -> None:
    shop.done("capture", "erase", "--inference-id", "late-1")

    log_people(shop, ["late-1", "late-2"], ["Bo", "Cy"])

    shop.wait(
        lambda: {"late-1", "late-2"} & set(shop.table("people")["inference_id"]) == {"late-2"}
    )
