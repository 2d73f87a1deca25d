"""The schema's revisions."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, create_engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

import driftline.migrations
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import HistoryItem, add_history, put_alarm
from driftline.alerts.tables import alarms, datapoints, metrics
from driftline.database.migrations import known_revisions, migrate
from driftline.errors import ConflictError, InputError, NotFoundError
from driftline.monitors.definitions import (
    MonitorDefinition,
    get_definition,
    list_definitions,
    put_definition,
)
from driftline.monitors.executions import Execution, get_execution, record
from driftline.monitors.run.standing import standing_lines
from driftline.monitors.run.status import list_states
from driftline.monitors.tables import executions, leases, states
from driftline.serving.resources.specs import (
    BaselineSpec,
    EndpointSpec,
    ModelSpec,
    MonitorSpec,
    ProductionVariantSpec,
    Spec,
)
from driftline.serving.tables import installation, resources
from tests.servers.postgres import BOTH, open_url

NEWEST = known_revisions()[0]


def test_the_known_revisions_are_those_that_alembic_walks() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(driftline.migrations.__file__).parent))

    walked = tuple(one.revision for one in ScriptDirectory.from_config(config).walk_revisions())

    assert known_revisions() == walked


def test_a_schema_that_is_up_to_date_is_left_alone_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/driftline.db"
    engine = create_engine(url)
    assert migrate(engine) == known_revisions()[0]
    engine.dispose()
    code = (
        "import sys; from sqlalchemy import create_engine; "
        "from driftline.database.migrations import migrate; "
        f"print(migrate(create_engine({url!r})), 'alembic' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [known_revisions()[0], "False"]


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/driftline.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.url(server.new_database())
    found = open_url(url)
    migrate(found)
    yield found
    found.dispose()


def test_alarms_of_before_get_what_lists_sort_and_filter_by(engine: Engine) -> None:
    alarm = AlarmDefinition(
        alarm_name="Flights: Broken", namespace="Driftline", metric_name="pages",
        dimensions={"Endpoint": "flights", "MonitoringSchedule": "fq"}, statistic="Maximum",
        period=60, evaluation_periods=1, threshold=0.0, severity="ticket",
        comparison_operator="GreaterThanThreshold",
    )  # fmt: skip
    note = {"note": {"cause": "temp: 36.1% of rows", "link": "monitors/fq?window=x"}}
    columns = [alarms.c[name] for name in ("severity", "monitor", "endpoint", "search_text")]
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    with engine.begin() as connection:
        record = put_alarm(connection, alarm, moment)
        change = HistoryItem(alarm.alarm_name, moment, "StateUpdate", "to ALARM", note)
        add_history(connection, alarm_id=record.id, item=change)
        connection.execute(update(alarms).values(state="ALARM"))
        before = connection.execute(select(*columns)).one()
    engine.dispose()

    migrate(engine, "0028")
    engine.dispose()
    migrate(engine)

    with engine.connect() as connection:
        assert connection.execute(select(*columns)).one() == before
        kept = connection.execute(select(alarms.c.cause, alarms.c.link)).one()
    assert tuple(kept) == ("temp: 36.1% of rows", "monitors/fq?window=x")
    assert tuple(before) == ("ticket", "fq", "flights", before.search_text)
    assert "\nflights: broken\n" in before.search_text


def test_a_schema_goes_back_and_comes_again(engine: Engine) -> None:
    newest, before = known_revisions()[:2]
    identity = select(installation.c.id)
    with engine.begin() as connection:
        found = connection.execute(identity).scalar_one()
    shape = _shape(engine)

    assert migrate(engine, before) == before
    with engine.begin() as connection:
        assert connection.execute(identity).scalar_one() == found
    for revision in known_revisions()[2:]:
        assert migrate(engine, revision) == revision
    assert _shape(engine) != shape  # The newest may change specs alone.
    assert migrate(engine) == newest

    assert _shape(engine) == shape


def test_a_schema_does_not_go_back_under_a_process_that_has_it_open(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    other = open_url(url)
    shape = _shape(engine)
    with other.connect():
        pass  # As a process that waits for work: nothing is going on, and the connection is open.

    with pytest.raises(ConflictError, match="stop all processes of driftline on every machine"):
        migrate(engine, "0015")
    assert migrate(other) == NEWEST
    assert _shape(engine) == shape
    other.dispose()
    assert migrate(engine, "0015") == "0015"
    assert migrate(engine) == NEWEST
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_a_schema_goes_back_with_rows_that_refer_to_others(engine: Engine) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    with engine.begin() as connection:
        connection.execute(
            insert(metrics).values(id=1, key="k", namespace="n", name="m", dimensions={})
        )
        connection.execute(
            insert(datapoints).values(
                metric_id=1, source="s", time=now, period_s=60,
                sample_count=1, sum=2, minimum=2, maximum=2,
            )
        )  # fmt: skip

    for revision in ("0005", NEWEST):
        assert migrate(engine, revision) == revision

    with engine.begin() as connection:
        both = select(metrics.c.name, datapoints.c.sum).join(datapoints)
        assert connection.execute(both).all() == [("m", 2)]
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(delete(metrics))


def test_monitors_of_tables_are_gone_after_a_way_back_that_has_no_tables(engine: Engine) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    of_endpoint = MonitorDefinition("of-endpoint", endpoint="e", baseline="b", start=now)
    of_table = replace(
        of_endpoint, name="of-table", endpoint="", source={"path": "/data", "timestamp": "at"}
    )
    with engine.begin() as connection:
        for one in (of_endpoint, of_table):
            put_definition(connection, one, now)
            connection.execute(insert(leases).values(monitor=one.name, done_until=now))

    migrate(engine, "0018")
    migrate(engine)

    with engine.begin() as connection:
        assert [get_definition(connection, "of-endpoint")] == list_definitions(connection)
        with pytest.raises(NotFoundError):
            get_definition(connection, "of-table")
        assert list(connection.scalars(select(leases.c.monitor))) == ["of-endpoint"]


ADDED = {
    "Monitor": {
        "command",
        "catch_up",
        "timeout_s",
        "priority",
        "source",
        "time_zone",
        "depends_on",
        "variant",
        "time_limit_s",
        "target_model",
    },
    "Model": {"mode", "model_data_prefix", "memory_limit_mb", "disk_limit_mb"},
    "Endpoint": {"production_variants", "shadow_production_variants"},
    "Baseline": {"promote", "rolling"},
}


def test_specs_go_back_without_what_an_older_program_refuses(engine: Engine) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    captured = {"endpoint": "e", "from": now, "to": now}
    variants = [
        ProductionVariantSpec(variant_name=name, model_name=f"m-{name}", initial_variant_weight=at)
        for name, at in (("blue", 1), ("green", 9))
    ]
    specs: dict[str, Spec] = {
        "pinned": MonitorSpec(endpoint="e", baseline="b@3"),
        "of-table": MonitorSpec(source={"path": "/data", "timestamp": "at"}, baseline="b"),
        "program": MonitorSpec(kind="command", endpoint="e", baseline="b", command=["x"]),
        "files": BaselineSpec(data="/data/b.csv"),
        "rows": BaselineSpec.model_validate({"data": captured}),
        "several": EndpointSpec(production_variants=variants),
        "one": ModelSpec(path="/data/m.skops"),
        "many": ModelSpec(mode="MultiModel", model_data_prefix="/data/many"),
        "of-many": EndpointSpec(model="Many"),
    }
    with engine.begin() as connection:
        for name, spec in specs.items():
            connection.execute(
                insert(resources).values(
                    kind=type(spec).__name__.removesuffix("Spec"), key=name, name=name, tags={},
                    spec=spec.model_dump(mode="json"), made={}, generation=1,
                    created_at=now, updated_at=now,
                )
            )  # fmt: skip

    of_files = select(resources.c.spec).where(resources.c.key == "files")
    for revision, names, later in (
        ("0023", 7, {"promote", "rolling"}), ("0022", 7, {"promote"}), ("0021", 6, {"promote"}),
        ("0018", 5, set()), ("0017", 5, set()),
    ):  # fmt: skip
        migrate(engine, revision)
        with engine.begin() as connection:
            assert len(connection.execute(select(resources.c.key)).all()) == names
            assert connection.execute(of_files).scalar_one().keys() & ADDED["Baseline"] == later

    with engine.begin() as connection:
        found = connection.execute(select(resources.c.kind, resources.c.key, resources.c.spec))
        left = {row.key: (row.kind, row.spec) for row in found}
    for name, (kind, spec) in left.items():
        assert set(spec) == set(type(specs[name]).model_fields) - ADDED[kind]
    assert left["pinned"][1]["baseline"] == "b"
    assert left["several"][1]["model"] == "m-green"
    assert left["several"][1]["variant"] == "green"
    assert (left["files"][1]["data"], left["rows"][1]["data"]) == ("/data/b.csv", [])


def test_cancelled_windows_go_back_as_failed_ones(engine: Engine) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    stopped = Execution(
        id="1", monitor="m", kind="data_quality", endpoint="e", definition_version=1, baseline="b",
        baseline_version="", window_start=now, window_end=now, digest="", status="Stopped",
        started_at=now, finished_at=now,
    )  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(executions).values(asdict(stopped)))

    migrate(engine, "0023")

    with engine.begin() as connection:
        assert list(connection.scalars(select(executions.c.status))) == ["Failed"]


def test_windows_of_before_do_not_say_how_many_metrics_are_worse(engine: Engine) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    definition = MonitorDefinition(
        "m", endpoint="e", baseline="b", schedule="external", kind="model-quality"
    )
    judged = Execution(
        id="1", monitor="m", kind="model-quality", endpoint="e", definition_version=1, baseline="b",
        baseline_version="", window_start=now, window_end=now + timedelta(days=1), digest="",
        status="Completed", worse_count=2, started_at=now, finished_at=now,
    )  # fmt: skip
    with engine.begin() as connection:
        put_definition(connection, definition, now)
    record(engine, judged, [], before=None)

    def shown() -> list[str]:
        with engine.connect() as connection:
            known = list_states(connection)
            return [one.shown_state for one in standing_lines(
                connection, [definition], known, now, None)]  # fmt: skip

    assert shown() == ["worse"]
    migrate(engine, "0036")
    with engine.begin() as connection:  # As the earlier version wrote it.
        kept = connection.scalars(select(states.c.windows)).one()
        before = [{key: value for key, value in one.items() if key != "worse"} for one in kept]
        connection.execute(update(states).values(windows=before))
    migrate(engine)

    assert shown() == ["ok"]
    with engine.connect() as connection:
        assert get_execution(connection, "1") == replace(judged, worse_count=None)


def _shape(engine: Engine) -> dict[str, set[str]]:
    tables = MetaData()
    tables.reflect(engine)
    return {
        name: {*table.columns.keys(), *(str(index.name) for index in table.indexes)}
        for name, table in tables.tables.items()
    }


def test_a_schema_of_no_version_is_refused(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/driftline.db")

    with pytest.raises(InputError, match=f'schema "15" is unknown; expected 0001 to {NEWEST}'):
        migrate(engine, "15")
    engine.dispose()


def test_an_older_version_says_how_the_newer_one_takes_its_schema_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/driftline.db")
    migrate(engine)
    monkeypatch.setattr("driftline.database.migrations.known_revisions", lambda: ("0002", "0001"))

    with pytest.raises(ConflictError, match="run `driftline migrate --to 0002` with it"):
        migrate(engine)
    engine.dispose()
