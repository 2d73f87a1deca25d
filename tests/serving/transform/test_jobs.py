import threading
from datetime import UTC, datetime, timedelta

import pytest

from driftline.database.paging import Place
from driftline.errors import ConflictError, UnavailableError
from driftline.serving.context import ServerContext
from driftline.serving.resources.endpoints import require_not_captured_into
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.dispatch import TransformJobs
from driftline.serving.transform.jobs import (
    FileProgress,
    OwnedJob,
    PinnedModel,
    clear_reasons,
    count_files,
    create_job,
    drop_ended,
    free_jobs,
    get_job,
    list_jobs,
    stop_job,
)
from driftline.serving.transform.run import Surroundings, run_job

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


def create(engine, name, now=NOW, **of):
    spec = {
        "transform_job_name": name,
        **(of or {"model_name": "flights"}),
        "transform_input": {"data_source": {"s3_data_source": {"s3_uri": "/data/march.csv"}}},
        "transform_output": {"s3_output_path": "/data/scores"},
    }
    model = PinnedModel("models/flights/1/late.skops", trust_pickle=False, positive=None)
    with engine.begin() as connection:
        create_job(
            connection, TransformJobSpec.model_validate(spec), by="ada", now=now, model=model
        )


def free(engine, now=NOW):
    with engine.begin() as connection:
        return [job.name for job in free_jobs(connection, now)]


def test_jobs_come_in_pages_the_newest_first(engine):
    for number in range(3):
        create(engine, f"Night-{number}", NOW + timedelta(hours=number))
    create(engine, "other")
    found: list[str] = []
    after: Place | None = None

    while len(found) < 3:
        with engine.begin() as connection:
            (job,) = list_jobs(connection, name_contains="night", after=after, limit=1)
        found.append(job.name)
        after = job.created_at, job.name.casefold()

    assert found == ["Night-2", "Night-1", "Night-0"]


def test_a_job_is_had_by_one_owner_until_its_lease_is_over(engine):
    create(engine, "night")
    first, second = OwnedJob(engine, "night", "a"), OwnedJob(engine, "night", "b")

    assert first.reserve(NOW)
    assert not second.reserve(NOW)
    assert second.take(NOW) is None
    assert first.take(NOW).attempts == 1
    assert free(engine) == []
    first.abandon()

    assert free(engine) == ["night"]
    assert second.take(NOW).attempts == 2
    assert free(engine, NOW + timedelta(minutes=1)) == ["night"]


def test_a_job_that_waits_for_a_disk_says_so_until_it_goes_on(engine, tmp_path):
    create(engine, "night")
    owned = OwnedJob(engine, "night", "a")
    around = Surroundings(tmp_path, lambda: NOW, threading.Event())

    def no_bucket(_job):
        raise UnavailableError("s3://models: not reachable")

    def job():
        with engine.begin() as connection:
            return get_job(connection, "night")

    owned.take(NOW)
    owned.list_files([march := FileProgress(0, "/data/march.csv", "march.csv.out", 1, "1")])
    with pytest.raises(UnavailableError):
        run_job(owned, no_bucket, around)

    assert (job().status, free(engine)) == ("InProgress", ["night"])
    assert job().failure_reason == (
        "tried again, as it could not go on: s3://models: not reachable"
    )
    owned.take(NOW)
    owned.note(march)
    assert job().failure_reason is None


def test_the_model_of_a_job_is_kept_with_it(engine):
    create(engine, "night")

    with engine.begin() as connection:
        assert get_job(connection, "NIGHT").model.file == "models/flights/1/late.skops"


def test_a_job_that_has_ended_cannot_be_stopped(engine):
    create(engine, "night")
    owned = OwnedJob(engine, "night", "a")
    owned.take(NOW)
    with engine.begin() as connection:
        assert stop_job(connection, "night").status == "Stopping"
    assert owned.is_stopping()
    owned.end("Stopped", NOW)

    with engine.begin() as connection, pytest.raises(ConflictError, match="is Stopped"):
        stop_job(connection, "night")


def test_an_endpoint_is_kept_for_the_jobs_that_capture_into_it(engine):
    create(engine, "by-itself")
    create(engine, "elsewhere", endpoint_name="flights", data_capture_config={"endpoint_name": "o"})
    create(engine, "night", endpoint_name="o", data_capture_config={"endpoint_name": "Flights"})

    with engine.begin() as connection:
        require_not_captured_into(connection, "by-itself")
        with pytest.raises(ConflictError, match='needed by the transform job "night"'):
            require_not_captured_into(connection, "flights")


def test_reasons_that_may_quote_an_erased_row_go_and_no_others(engine):
    jobs = {
        "of-flights": {"endpoint_name": "Flights"}, "of-others": {"endpoint_name": "others"},
        "named": {"endpoint_name": "others"}, "by-itself": {"model_name": "flights"},
    }  # fmt: skip
    for name, of in jobs.items():
        create(engine, name, **of)
        owned = OwnedJob(engine, name, "a")
        owned.take(NOW)
        owned.end("Failed", NOW, "march.csv: record 7 (i-7,x)" if name == "named" else "x")

    with engine.begin() as connection:
        counts = [
            clear_reasons(connection, ["i-7"], None, dry_run=True),
            clear_reasons(connection, ["i"], None),
            clear_reasons(connection, ["i-7"], None),
            clear_reasons(connection, [], "flights"),
            clear_reasons(connection, ["i-7"], "flights"),
        ]
        left = {name for name in jobs if get_job(connection, name).failure_reason != "(erased)"}

    assert (counts, left) == ([1, 0, 1, 2, 0], {"of-others"})


def test_jobs_that_ended_long_ago_are_forgotten_and_their_names_free(engine):
    ended = {"old": NOW, "new": NOW + timedelta(days=2), "running": None}
    for name, at in ended.items():
        create(engine, name, NOW - timedelta(days=1))
        owned = OwnedJob(engine, name, "a")
        assert owned.take(NOW) is not None
        owned.list_files([FileProgress(0, f"/data/{name}.csv", f"{name}.csv.out", 1, "1")])
        if at is not None:
            owned.end("Completed", at)

    with engine.begin() as connection:
        dropped = drop_ended(connection, NOW + timedelta(days=1))
        left = {job.name for job in list_jobs(connection, limit=10)}
        counts = count_files(connection, ended)

    assert (dropped, left, set(counts)) == (1, {"new", "running"}, {"new", "running"})
    create(engine, "old")


def test_a_server_keeps_ended_jobs_as_long_as_captured_rows(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("driftline.serving.transform.jobs._DROPPED_AT_ONCE", 1)
    for name, days in (("kept", 89), ("forgotten", 91), ("older", 92)):
        create(engine, name, NOW - timedelta(days=days, hours=1))
        owned = OwnedJob(engine, name, "a")
        assert owned.take(NOW) is not None
        owned.end("Failed", NOW - timedelta(days=days))
    context = ServerContext(
        engine=engine, root=str(tmp_path), spool_dir=tmp_path / "spool", now=lambda: NOW,
        lease_clock=lambda: NOW,
    )  # fmt: skip

    TransformJobs(context, ended=lambda _file: None)._drop()

    with engine.begin() as connection:
        assert [job.name for job in list_jobs(connection, limit=10)] == ["kept"]
