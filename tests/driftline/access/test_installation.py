"""An installation that asks for tokens, and what files, variables and URLs of others are worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import skops.io

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.receiver import Receiver
from tests.kit.waiting import wait

TOKENS = '[auth]\nmode = "token"\n'
TOKENS_API = "/api/v1/tokens"
ENVIRONMENT = {"AWS_SECRET_ACCESS_KEY": "c10uds3cret", "PGPASSWORD": "c10uds3cret"}


class Guarded(Installation):
    """A server, asked with its own token or with another one."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        given = {"words": ("--only", "server"), "environment": ENVIRONMENT, "is_forked": True}
        super().__init__(folder, TOKENS + settings, **given)  # type: ignore[arg-type]

    @property
    def token(self) -> str:
        """The token that it made at its first start."""
        return (self.folder / "store" / "access.token").read_text().strip()

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
        """Send one request with a token, by default the installation's own."""
        headers = {"authorization": f"Bearer {token or self.token}"} | more.pop("headers", {})
        return self.request(method, path, headers=headers, **more)

    def new_token(self, name: str, *words: str) -> str:
        """Make a token by the command line; return its secret."""
        return self.cli("token", "create", name, *words).stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("access")) as found:
        file, outputs = found.folder / "late.skops", found.folder / "store" / "outputs"
        skops.io.dump(fit(labelled(stream(ORDERS, rows=200))), file)
        output = {"s3_output_path": str(outputs / "north")}
        spec = {"model": "late", "async_inference_config": {"output_config": output}}
        found.apply(
            {"kind": "Model", "name": "late", "spec": {"path": str(file)}},
            {"kind": "Endpoint", "name": "north", "spec": spec},
        )
        yield found


def test_tokens_are_valid_on_every_server_of_a_database_and_can_be_made_anew(
    server: Guarded, tmp_path: Path
) -> None:
    url = f'[database]\nurl = "sqlite:///{server.folder}/store/driftline.db"\n'
    with Guarded(tmp_path, url) as other:
        assert server.token != other.token
        for asked in (server, other):
            for token in (server.token, other.token):
                assert asked.ask("GET", TOKENS_API, token).status_code == 200
        listed = json.loads(other.cli("token", "list", "--json").stdout)
        own = {one["name"]: one["roles"] for one in listed}
        assert len(own) == 2
        assert set(map(tuple, own.values())) == {("admin",)}
        noted = server.ask("GET", "/api/v1/audit?target=Token/local").json()["items"]
        assert [one["action"] for one in noted] == ["create"]

        old, subject = other.token, other.ask("GET", "/api/v1/whoami").json()["subject"]
        server.done("token", "revoke", subject)
        wait(lambda: other.ask("GET", TOKENS_API, old).status_code == 401)
        other.restart()
        assert other.ask("GET", TOKENS_API, old).status_code == 401
        assert "revoked" in other.log
        (tmp_path / "store" / "access.token").unlink()
        other.restart()
        assert other.token != old
        assert server.ask("GET", TOKENS_API, other.token).status_code == 200


def test_a_token_of_one_endpoint_reads_no_file_of_another(server: Guarded) -> None:
    token = server.new_token("north", "--role", "invoke", "--endpoint", "north")
    outputs = server.folder / "store" / "outputs"
    for name in ("north", "south"):
        (outputs / name).mkdir(parents=True, exist_ok=True)
        (outputs / name / "in.csv").write_text("1.0,2.0\nsecret-of-" + name + ",2.0\n")
    (outputs / "in.csv").write_text("1.0,2.0\n")
    (outputs / "north" / "link.csv").symlink_to(outputs / "south" / "in.csv")

    def ask(place: object) -> tuple[int, str]:
        headers = {"content-type": "text/csv", "x-amzn-sagemaker-inputlocation": str(place)}
        answer = server.ask("POST", "/endpoints/north/async-invocations", token, headers=headers)
        return answer.status_code, answer.text

    climbing = f"{outputs}/north/../south/in.csv"
    refused = ("south/in.csv", "in.csv", "north/link.csv")
    for place in (*(outputs / one for one in refused), climbing):
        status, said = ask(place)
        assert (status, "in none of the data folders" in said) == (400, True), said
    assert ask(outputs / "north" / "in.csv")[0] == 202


@pytest.mark.parametrize(
    ("field", "reference"),
    [
        ("secret", "env:AWS_SECRET_ACCESS_KEY"),
        ("url", "env:AWS_SECRET_ACCESS_KEY"),
        ("routing_key", "env:AWS_SECRET_ACCESS_KEY"),
        ("routing_key", "env:PGPASSWORD"),
        ("routing_key", "env:DRIFTLINE_AUTH__TOKEN"),
        ("routing_key", "env:driftline_channel_pager"),
        ("routing_key", "env:DRIFTLINE_CHANNEL_"),
        ("secret", "file:/etc/hostname"),
        ("url", "file:/etc/hostname"),
    ],
)
def test_a_channel_sends_no_variable_that_was_not_made_for_channels(
    server: Guarded, field: str, reference: str
) -> None:
    kind = "pagerduty" if field == "routing_key" else "webhook"
    spec = {"type": kind, "url": "https://evil.example/hook", field: reference}
    resource = {"kind": "Channel", "name": "evil", "spec": spec}

    answer = server.ask("POST", "/api/v1/apply", json={"resources": [resource]})

    assert answer.status_code == 400
    assert "c10uds3cret" not in answer.text


def test_a_url_is_shown_to_nobody_and_lies_nowhere_in_the_clear(server: Guarded) -> None:
    viewer = server.new_token("watcher", "--role", "viewer")
    with Receiver(lambda message: 500) as broken:
        hook = broken.channel("chat", url=f"{broken.url}/t0kenpath?key=t0kenquery")
        server.apply(hook)
        server.apply(hook)
        server.ask("POST", "/api/v1/channels/chat/test")
        assert broken.attempts[0].path == "/hook/t0kenpath?key=t0kenquery"

    for path in ("channels", "channels/chat", "channels/chat/log", "deliveries"):
        answer = server.ask("GET", f"/api/v1/{path}", viewer)
        assert (answer.status_code, "t0ken" in answer.text) == (200, False)
    shown = server.ask("GET", "/api/v1/channels/chat", viewer).json()["spec"]["url"]
    assert shown.endswith("/***"), "not even a digest that guesses could be tried against"
    body = {"resources": [broken.channel("chat", url=shown)]}
    assert server.ask("POST", "/api/v1/apply", json=body).status_code == 400
    assert "t0ken" not in server.ask("GET", "/api/v1/audit").text
    assert "t0ken" not in server.done("get", "channel", "chat")
    assert "t0ken" not in server.log
    for file in (server.folder / "store").rglob("*"):
        assert not file.is_file() or b"t0ken" not in file.read_bytes(), file
