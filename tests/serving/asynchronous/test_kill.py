"""A server process that is killed over accepted requests: each is answered, and told of, once."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, select

from driftline.alerts import tables as alert_tables
from driftline.app.client.client import Client
from driftline.errors import UnavailableError
from driftline.serving.tables import async_requests
from tests.servers.commands import Fork
from tests.servers.installations import PROCESS
from tests.servers.ports import free_port
from tests.serving.conftest import resource

REQUESTS, SECONDS = 12, 0.5
# Twice a lease, and some more.
PATIENCE_S = 90


@contextmanager
def process(settings: Path) -> Iterator[Fork]:
    words = ["server", "--settings", settings]
    with settings.with_suffix(".log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
        started = Fork(words, (nothing.fileno(), log.fileno(), log.fileno()), code=PROCESS)
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


# Its short form is test_endpoint's: this one waits for leases to run out.
@pytest.mark.full
def test_a_killed_server_answers_each_accepted_request_once(slow_model, tmp_path, until):
    settings, url = settings_in(tmp_path)
    outputs = tmp_path / "data" / "outputs" / "slow"
    engine = create_engine(f"sqlite:///{tmp_path}/db")
    with closing(Client(url)) as client:

        def is_applied() -> bool:
            with suppress(UnavailableError):
                return bool(client.apply(declared(slow_model, outputs)))
            return False

        with process(settings) as server:
            until(is_applied, PATIENCE_S)
            for number in range(1, REQUESTS + 1):
                client.invoke_async(
                    "slow", f"{SECONDS}\n".encode() * number,
                    content_type="text/csv", inference_id=f"n-{number}",
                )  # fmt: skip
            until(lambda: any(one.status == "Completed" for one in rows_of(engine)), PATIENCE_S)
            until(lambda: any(one.lease_owner is not None for one in rows_of(engine)), PATIENCE_S)
            server.kill()
            server.wait()
        left = {one.inference_id for one in rows_of(engine) if one.status == "Queued"}
        cut = {one.inference_id for one in rows_of(engine) if one.lease_owner is not None}
        assert cut
        assert 0 < len(left) < REQUESTS

        with process(settings):
            until(lambda: all(one.status == "Completed" for one in rows_of(engine)), PATIENCE_S)

    found = rows_of(engine)
    assert len(found) == REQUESTS
    assert {one.inference_id for one in found if one.attempts == 2} == cut
    # Hidden: what a kill cut off.
    names = {one.name for one in outputs.iterdir() if not one.name.startswith(".")}
    assert names == {f"{one.id}.out" for one in found}
    for one in found:
        answers = Path(one.output_location).read_text().splitlines()
        assert answers == ["0"] * int(one.inference_id.removeprefix("n-"))
    with engine.begin() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    told = sorted(json.loads(body)["data"]["inferenceId"] for body in bodies)
    assert told == sorted(one.inference_id for one in found)
    engine.dispose()
