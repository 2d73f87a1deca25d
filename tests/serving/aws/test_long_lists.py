"""Lists of what tables hold much of are read a page at a time."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event, insert

from driftline.monitors.tables import executions
from driftline.serving.aws.lists import read_page
from driftline.serving.aws.served import Wire
from driftline.serving.jobs.store import create_job, job_of, select_jobs
from driftline.serving.tables import jobs
from tests.servers.postgres import both_databases
from tests.serving.conftest import NOW, resource

COLUMNS = {
    "Name": jobs.c.name,
    "CreationTime": jobs.c.created_at,
    "LastModifiedTime": jobs.c.created_at,
}
SPEC = {
    "analyzer": "model-monitor",
    "processing_inputs": [{"name": "data", "s3_uri": "rows.csv", "local_path": "/data"}],
    "processing_outputs": [{"name": "result", "s3_uri": "out", "local_path": "/output"}],
    "environment": {"dataset_source": "/data"},
}
WIRE = Wire(None, None, "eu-west-1", "123456789012")


def create(connection, count):
    """Store jobs of which several are of one moment."""
    for number in range(count):
        name, now = f"job-{number * 7 % count}", NOW + timedelta(hours=number // 3)
        create_job(connection, "processing", name, now, spec=SPEC | {"processing_job_name": name})


@both_databases
@pytest.mark.parametrize("by", ["Name", "CreationTime"])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_of_a_table_hold_each_row_once_in_order(engine, by, order):
    asked = {"SortBy": by, "SortOrder": order, "MaxResults": 4}
    asked["CreationTimeAfter"] = NOW + timedelta(hours=1)
    found, token = [], None
    with engine.begin() as connection:
        create(connection, 20)

        while not found or token:
            given = asked if token is None else {**asked, "NextToken": token}
            query = select_jobs("processing")
            rows, token = read_page(connection, WIRE, given, query, COLUMNS, jobs.c.key)
            found += [job_of(row) for row in rows]
            assert len(rows) <= 4

    places = [(one.name if by == "Name" else one.created_at, one.key) for one in found]
    assert len(places) == 17
    assert places == sorted(places, reverse=order == "Descending")


@contextmanager
def reads(engine, table):
    """Collect the statements that read rows of a table."""
    found = []

    def note(_connection, _cursor, statement, *_):
        if f"FROM {table.name}" in statement and statement.startswith("SELECT"):
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def test_what_has_run_long_is_read_by_the_page(wire_client, wire_server, trained):
    sagemaker, engine = wire_client("sagemaker"), wire_server.engine
    wire_server.must_apply(
        *trained.flights(), resource("Monitor", "long", endpoint="flights", baseline="flights")
    )
    run = {
        "monitor": "long", "kind": "data-quality", "endpoint": "flights", "definition_version": 1,
        "baseline": "flights", "baseline_version": "0", "digest": "0", "row_count": 0,
        "request_count": 0, "violation_count": 0, "page_count": 0, "cause": "", "folder": "",
    }  # fmt: skip
    with engine.begin() as connection:
        create(connection, 1003)
        for number in range(1001):
            end = NOW + timedelta(hours=number)
            times = {"window_start": end - timedelta(hours=1), "window_end": end}
            of = {"id": f"{number:032x}", "status": ("NoData", "Completed")[number % 2]}
            more = {"is_current": number < 1000, "started_at": end, "finished_at": end}
            connection.execute(insert(executions).values(**run, **times, **of, **more))

    with reads(engine, executions) as asked_runs, reads(engine, jobs) as asked_jobs:
        schedule = sagemaker.describe_monitoring_schedule(MonitoringScheduleName="long")
        runs = sagemaker.list_monitoring_executions(StatusEquals="Failed", MaxResults=2)
        listed = sagemaker.list_processing_jobs(NameContains="JOB-1", SortBy="Name", MaxResults=2)

    last = schedule["LastMonitoringExecutionSummary"]
    assert last["ScheduledTime"] == NOW + timedelta(hours=999)
    assert last["MonitoringJobDefinitionName"] == "flights"
    times = [one["ScheduledTime"] for one in runs["MonitoringExecutionSummaries"]]
    assert times == [NOW + timedelta(hours=998), NOW + timedelta(hours=996)]
    names = [one["ProcessingJobName"] for one in listed["ProcessingJobSummaries"]]
    assert names == ["job-199", "job-198"]
    assert (len(asked_runs), len(asked_jobs)) == (2, 1)
