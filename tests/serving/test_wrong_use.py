"""What the command line and HTTP answer where something was asked that cannot be."""

import threading
from pathlib import Path
from typing import Any

import pytest
import skops.io
import yaml
from sklearn.linear_model import LinearRegression

from tests.kit.data import stream

ROWS = stream({"km": (10, 3), "rain_mm": (2, 1)}, rows=100, seed=4)
MODEL = LinearRegression().fit(ROWS, ROWS["km"])


@pytest.fixture(scope="module")
def server(install: Any, slow_model: Path) -> Any:
    """One endpoint with a model, one with a folder of models, and a slow model for jobs."""
    server = install("[serving]\ntrust_pickle = true\n", words=("--only", "server"), is_forked=True)
    prefix = server.folder / "models"
    prefix.mkdir()
    for file in ("north.skops", "south.skops"):
        skops.io.dump(MODEL, prefix / file)
    skops.io.dump(MODEL, server.folder / "secret-project.skops")
    server.apply(
        {
            "kind": "Model",
            "name": "secret-project",
            "spec": {"path": str(server.folder / "secret-project.skops")},
        },
        {"kind": "Endpoint", "name": "secret-project", "spec": {"model": "secret-project"}},
        {
            "kind": "Model",
            "name": "stores",
            "spec": {"mode": "MultiModel", "model_data_prefix": str(prefix)},
        },
        {"kind": "Endpoint", "name": "stores", "spec": {"model": "stores"}},
        {"kind": "Model", "name": "slow", "spec": {"path": str(slow_model)}},
    )
    return server


def ask(server: Any, model: str) -> Any:
    """Ask one of many models."""
    target = {"x-amzn-sagemaker-target-model": model}
    return server.invoke("stores", "10,2\n", headers=target)


def test_a_withdrawn_model_is_no_longer_served(server):
    assert ask(server, "north.skops").status_code == 200
    assert ask(server, "south.skops").status_code == 200

    (server.folder / "models" / "north.skops").unlink()

    server.wait(lambda: ask(server, "north.skops").status_code == 404)
    assert ask(server, "north.skops").status_code == 404
    assert ask(server, "south.skops").status_code == 200


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_a_number_that_json_does_not_have_is_wrong_use(server, number):
    variant = {"variant_name": "a", "model_name": "slow", "initial_variant_weight": "NUMBER"}
    spec = {"production_variants": [variant]}
    text = yaml.safe_dump({"kind": "Endpoint", "name": "weighed", "spec": spec})
    (server.folder / "weighed.yaml").write_text(text.replace("NUMBER", number))

    answer = server.cli("apply", "-f", "weighed.yaml")

    assert answer.returncode == 2
    assert "initial_variant_weight" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_number_that_json_does_not_have_is_refused_over_http(server):
    variant = '{"variant_name": "a", "model_name": "slow", "initial_variant_weight": NaN}'
    body = (
        '{"resources": [{"kind": "Endpoint", "name": "weighed", '
        f'"spec": {{"production_variants": [{variant}]}}}}]}}'
    )

    answer = server.request(
        "POST", "/api/v1/apply", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("\\ud83d\\ude00 \\\\ud83d a1e999", 200),
        ("\\ud83d", 400),
        ("\\uDE00\\uD83D", 400),
        ("\\ud83d\\ude00\\ude00", 400),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(server, text, status, encoding):
    spec = f'{{"url": "https://x.example/{"a" * 100}", "format": "template", "template": "{text}"}}'
    body = f'{{"resources": [{{"kind": "Channel", "name": "c", "spec": {spec}}}], "dry_run": true}}'

    answer = server.request(
        "POST", "/api/v1/apply", content=body.encode(encoding),
        headers={"content-type": "application/json"},
    )  # fmt: skip

    # JSON that is sent is UTF-8 (RFC 8259).
    assert answer.status_code == (status if encoding == "utf-8" else 400), answer.text


def test_a_command_that_waits_for_a_job_that_is_stopped_did_not_succeed(server):
    (server.folder / "rows.csv").write_text("600\n")
    job = {
        "transform_job_name": "halted",
        "model_name": "slow",
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": str(server.folder / "rows.csv")}},
            "content_type": "text/csv",
        },
        "transform_output": {"s3_output_path": str(server.folder / "store" / "outputs" / "out")},
    }
    (server.folder / "job.yaml").write_text(yaml.safe_dump(job))
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(server.cli("job", "create", "job.yaml")))

    waiting.start()
    server.wait(lambda: "InProgress" in server.cli("job", "get", "halted").stdout or None)
    stopped = server.cli("job", "stop", "halted")
    waiting.join()

    assert stopped.returncode == 0
    assert ended[0].returncode == 3, ended[0].stderr
    assert "Stopped" in ended[0].stdout
