"""A server process that is killed over requests: each ends, and is told of, once."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, select

from driftline.alerts import tables as alert_tables
from driftline.app.client.client import Client
from driftline.errors import UnavailableError
from driftline.serving.tables import async_requests
from tests.servers.commands import Fork
from tests.servers.ports import free_port
from tests.serving.conftest import resource

REQUESTS, KILLS, SECONDS = 100, 10, 0.2
# Twice a lease, and some more.
PATIENCE_S = 90


@contextmanager
def process(settings: Path) -> Iterator[Fork]:
    words, code = ["server", "-c", settings], "import os; os.setsid()"
    with settings.with_suffix(".log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
        files = (nothing.fileno(), log.fileno(), log.fileno())
        started = Fork(words, files, code=code, is_command=True)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def settings_in(folder: Path) -> tuple[Path, str]:
    port = free_port()
    file = folder / "driftline.toml"
    file.write_text(
        f'[storage]\nroot = "{folder}/data"\n[database]\nurl = "sqlite:///{folder}/db"\n'
        f'[server]\nport = {port}\n[capture]\nspool_dir = "{folder}/spool"\n'
        '[serving]\ntrust_pickle = true\n[notify]\ncommands = ["page=/bin/cat"]\n'
    )
    return file, f"http://127.0.0.1:{port}"


def declared(model: Path, outputs: Path) -> list[dict]:
    later = {
        "output_config": {
            "s3_output_path": str(outputs),
            "notification_config": {"success_topic": "pager", "error_topic": "pager"},
        },
        "client_config": {"max_concurrent_invocations_per_instance": 2},
    }
    return [
        resource("Channel", "pager", type="command", command="page"),
        resource("Model", "slow", path=str(model), trust_pickle=True),
        resource("Endpoint", "slow", model="slow", async_inference_config=later),
    ]


def rows_of(engine: Engine) -> list:
    with engine.begin() as connection:
        return list(connection.execute(select(async_requests)).all())


@pytest.mark.full
def test_a_server_that_is_killed_over_and_over_answers_each_request_once(
    slow_model, tmp_path, until
):
    settings, url = settings_in(tmp_path)
    outputs = tmp_path / "data" / "outputs" / "slow"
    engine = create_engine(f"sqlite:///{tmp_path}/db")

    def ended() -> int:
        return sum(one.status != "Queued" for one in rows_of(engine))

    def has_more_than(count: int) -> bool:
        return ended() > count

    with closing(Client(url)) as client:

        def is_applied() -> bool:
            with suppress(UnavailableError):
                return bool(client.apply(declared(slow_model, outputs)))
            return False

        for kill in range(KILLS):
            with process(settings) as server:
                until(is_applied, PATIENCE_S)
                for number in range(kill * REQUESTS // KILLS, (kill + 1) * REQUESTS // KILLS):
                    client.invoke_async(
                        "slow", f"{SECONDS}\n".encode() * (number % 3 + 1),
                        content_type="text/csv", inference_id=f"n-{number}",
                    )  # fmt: skip
                until(partial(has_more_than, ended()), PATIENCE_S)
                until(lambda: any(one.lease_owner for one in rows_of(engine)), PATIENCE_S)
                server.kill()
                server.wait()
        assert ended() < REQUESTS
        with process(settings):
            until(lambda: ended() == REQUESTS, 3 * PATIENCE_S)

    found = rows_of(engine)
    assert [one.status for one in found] == ["Completed"] * REQUESTS
    # Hidden: what a kill cut off.
    names = {one.name for one in outputs.iterdir() if not one.name.startswith(".")}
    assert names == {f"{one.id}.out" for one in found}
    for one in found:
        answers = Path(one.output_location).read_text().splitlines()
        assert answers == ["0"] * (int(one.inference_id.removeprefix("n-")) % 3 + 1)
    with engine.begin() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    told = sorted(json.loads(body)["data"]["inferenceId"] for body in bodies)
    assert told == sorted(one.inference_id for one in found)
    engine.dispose()
