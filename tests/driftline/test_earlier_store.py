"""What an earlier version stored is read: tests/fixtures/store_0_1 says how it was made."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, select, text

import driftline as dl
from driftline.alerts.alarms.composite_records import list_any
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.notify import outbox
from driftline.alerts.notify.channels import open_channels
from driftline.alerts.notify.secrets import Vault
from driftline.alerts.tables import outbox as outbox_table
from driftline.database.engine import open_database, read_connection
from driftline.database.migrations import known_revisions, migrate
from tests.archives import unpack
from tests.serving.conftest import Running, running, wait_for

STORE = Path(__file__).parents[1] / "fixtures" / "store_0_1"
ANSWERS = json.loads((STORE / "answers.json").read_text())
# The earlier one was asked while it loaded the model.
ANSWERS["/endpoints"]["items"][0]["status"]["state"] = "InService"
LATER = datetime(2026, 11, 21, 20, tzinfo=UTC)
SIGNING = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'root' / 'driftline.db'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store, unpacked and migrated."""
    made = tmp_path_factory.mktemp("earlier")
    unpack(STORE / "store.tar.gz", made / "root")
    engine = open_database(_url(made))
    with read_connection(engine) as connection:
        before = connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert before == "0013"
    assert migrate(engine) == known_revisions()[0]
    engine.dispose()
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    vault = Vault.at("", folder / "root" / "channels.key")
    with running(folder, database=_url(folder), vault=vault) as started:
        wait_for(lambda: "InService" in started.client.get("/api/v1/endpoints").text)
        yield started


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    opened = open_database(_url(folder))
    yield opened
    opened.dispose()


@pytest.mark.parametrize("path", sorted(ANSWERS))
def test_the_server_answers_as_the_earlier_one(server: Running, path: str) -> None:
    response = server.client.get(f"/api/v1{path}")

    assert response.status_code == 200
    assert _known_part(response.json(), ANSWERS[path]) == ANSWERS[path]


def _known_part(found: Any, answer: Any) -> Any:
    """Leave out fields that have come since: a client of the earlier version reads past them."""
    if isinstance(found, dict) and isinstance(answer, dict):
        answer.pop("next", None)  # Of lists; it is called next_token since.
        known = found.keys() & answer.keys()
        return {name: _known_part(found[name], answer[name]) for name in known}
    if isinstance(found, list) and isinstance(answer, list) and len(found) == len(answer):
        return [_known_part(*pair) for pair in zip(found, answer, strict=True)]
    return found


def test_a_window_that_was_judged_is_not_judged_again(server: Running) -> None:
    window = {"from": "2026-11-18T00:00:00Z", "to": "2026-11-19T00:00:00Z"}
    response = server.client.post("/api/v1/monitors/loans-data-quality/run", json=window)

    listed = ANSWERS["/monitors/loans-data-quality/executions"]["items"]
    before = {one["id"] for one in listed if one["window_start"].startswith("2026-11-18")}
    assert response.status_code == 200, response.text
    assert {response.json()["id"]} == before


def test_a_new_request_is_answered_and_captured(server: Running) -> None:
    # The server answers from the first moment on, the model once its worker has loaded it.
    wait_for(lambda: server.invoke("loans", "44,51.5,3\n").status_code == 200)


def test_the_earlier_baseline_judges_the_captured_rows(folder: Path) -> None:
    (version,) = (folder / "root" / "baselines" / "loans").iterdir()
    (day,) = (folder / "root" / "capture" / "loans" / "event_date=2026-11-18").iterdir()
    rows = pq.read_table(day, partitioning=None).to_pandas()
    features = rows.filter(like="feature_").rename(columns=lambda name: name[len("feature_") :])

    report = dl.check(features, dl.Baseline.load(version))

    assert len(features) == 80
    assert {violation.feature for violation in report.violations} <= {"age", "income", "visits"}


def test_secrets_of_channels_are_opened(engine: Engine, folder: Path) -> None:
    vault = Vault.at("", folder / "root" / "channels.key")
    with read_connection(engine) as connection:
        channels = open_channels(connection, ["pager", "chat", "oncall"], vault, LATER)

    keys = {name: [one.reveal() for one in channel.secrets] for name, channel in channels.items()}
    assert keys["pager"] == [SIGNING]
    assert keys["oncall"] == ["0123456789abcdef0123456789abcdef"]
    assert channels["chat"].url.reveal() == "http://127.0.0.1:9/services/T0/token"


def test_alarms_are_evaluated_and_their_messages_sent_on(engine: Engine) -> None:
    with read_connection(engine) as connection:
        names = [alarm.name for alarm in list_any(connection)]
        ids = set(connection.scalars(select(outbox_table.c.id)))
    Evaluator(engine, now=lambda: LATER).step()
    with engine.begin() as connection:
        due = outbox.claim(connection, LATER + timedelta(minutes=5))

    assert "loans: worth a call" in names
    assert {claim.id for claim in due} & ids
