from datetime import UTC, datetime, timedelta

import pytest

from driftline.database.paging import Place
from driftline.errors import ConflictError
from driftline.serving.resources.endpoints import require_not_captured_into
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.jobs import (
    PinnedModel,
    create_job,
    list_jobs,
)
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request):
    return request.param


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


def test_an_endpoint_is_kept_for_the_jobs_that_capture_into_it(engine):
    create(engine, "by-itself")
    create(engine, "elsewhere", endpoint_name="flights", data_capture_config={"endpoint_name": "o"})
    create(engine, "night", endpoint_name="o", data_capture_config={"endpoint_name": "Flights"})

    with engine.begin() as connection:
        require_not_captured_into(connection, "by-itself")
        with pytest.raises(ConflictError, match='needed by the transform job "night"'):
            require_not_captured_into(connection, "flights")
