from datetime import UTC, datetime, timedelta

import pytest

from driftline.serving.jobs.store import (
    JobExistsError,
    clear_reasons,
    create_job,
    get_job,
    list_jobs,
)
from driftline.serving.tables import job_queue
from tests.servers.postgres import both_databases
from tests.together import together

NOW = datetime(2026, 1, 15, tzinfo=UTC)


@both_databases
def test_names_and_what_clients_said_are_each_kinds_own(engine):
    with engine.begin() as connection:
        for kind in ("transform", "processing"):
            create_job(connection, kind, "Nightly", NOW, spec={"of": kind}, said={"RoleArn": kind})
        with pytest.raises(JobExistsError):
            create_job(connection, "transform", "nightly", NOW, spec={})
    (row,) = job_queue.claim(engine, "one", NOW, 1, job_queue.table.c.kind == "transform")
    with engine.begin() as connection:
        job_queue.finish(connection, "one", row.key, "Failed", NOW, "record 1 (secret)")
        assert clear_reasons(connection, None, dry_run=False) == 1
        assert "secret" not in get_job(connection, "transform", "nightly").failure_reason

        job_queue.drop_ended(connection, NOW + timedelta(days=1))

        assert list_jobs(connection, "transform", limit=2) == []
        assert create_job(connection, "transform", "nightly", NOW, spec={}).said == {}
        (other,) = list_jobs(connection, "processing", limit=2)
        assert (other.spec, other.said) == ({"of": "processing"}, {"RoleArn": "processing"})


@both_databases
def test_of_those_who_take_a_name_at_once_one_gets_it(engine):
    def create():
        try:
            with engine.begin() as connection:
                return create_job(connection, "processing", "nightly", NOW, spec={})
        except JobExistsError:
            return None

    (made,) = filter(None, together(*[create] * 4))

    with engine.connect() as connection:
        assert made == get_job(connection, "processing", "NIGHTLY")
