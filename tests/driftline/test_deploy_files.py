"""The files of deploy/: valid by their own formats' validators, and true of this code."""

import configparser
import http.server
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import compose_spec
import crossplane
import kubernetes_validate
import pytest
import typer
import yaml

from driftline.app.cli import build
from driftline.app.process_metrics import PORT_OFFSETS
from driftline.app.up import ROLES, STOP_S
from driftline.settings.schema import is_secret
from driftline.settings.settings import Settings, load, sections

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROCESSES = ("server", "sidecar", "sink", "scheduler", "alarms", "dashboard")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SETTINGS_FILE = "/etc/driftline/driftline.toml"
SECRETS = {
    "database_url": "postgresql://driftline:secret@postgres/driftline",
    "access_key_id": "id",
    "secret_access_key": "secret",
    "channels_key": "key",
    "admin_token": "dl_" + 64 * "0",
    "metrics_token": 64 * "0",
}
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service["image"].startswith("driftline:")
}
HELM = DEPLOY / "helm"
CHART = yaml.safe_load((HELM / "Chart.yaml").read_text())
KSERVE = {
    "name": "iris", "path": "/v1/models/iris:predict", "port": 8000,
    "model": {"image": "iris", "args": ["--http_port=8000"]},
}  # fmt: skip


def rendered(**values: Any) -> list[dict[str, Any]]:
    """Return the manifests of the chart, by Helm itself."""
    sets = [
        f"--set-json={name.replace('_', '.')}={json.dumps(one)}" for name, one in values.items()
    ]
    # The package has it for one platform; elsewhere it is the developer's own.
    program = Path(sys.executable).with_name("helm")
    done = subprocess.run(
        [program if program.exists() else "helm", "template", "driftline", HELM, *sets],
        capture_output=True,
        check=True,
    )
    return [*yaml.safe_load_all(done.stdout)]


MANIFESTS = rendered(server_autoscaling_enabled=True)
PODS = {
    manifest["metadata"]["name"].removeprefix("driftline-"): manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if "template" in manifest.get("spec", {})
}
CONTAINERS = {
    container["name"]: container
    for pod in PODS.values()
    for container in (*pod["containers"], *pod.get("initContainers", ()))
}


def require_command(words: Sequence[str]) -> None:
    """Let the command line read a command with its options; an unknown one raises."""
    command = typer.main.get_command(build()).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], [*words[1:]])
    assert words[1:3] == ["-c", SETTINGS_FILE]


def port_of(process: str, settings: Settings) -> int:
    """Return the port at which a process answers /healthz."""
    metrics = settings.metrics
    return {
        "server": settings.server.port,
        "dashboard": settings.dashboard.port,
        "sidecar": metrics.port,
        "sink": metrics.port + PORT_OFFSETS["sink"],
        "scheduler": metrics.port + PORT_OFFSETS["background"],
        "alarms": metrics.port + PORT_OFFSETS["alarms"],
    }[process]


def checked_settings(
    file: Path, environment: Mapping[str, str], secrets: Collection[str], folder: Path
) -> Settings:
    """Load a settings file as a process does; no secret is in the environment, but in files."""
    found = dict(environment)
    for name, value in environment.items():
        if name.endswith("_FILE"):
            assert Path(value).name in secrets
            secret = folder / Path(value).name
            secret.write_text(SECRETS[secret.name])
            found[name] = str(secret)
        elif name.startswith("DRIFTLINE_"):
            section, key = name.removeprefix("DRIFTLINE_").lower().split("__", 1)
            field = sections()[section].model_fields.get(key.partition("__")[0])
            assert field is None or not is_secret(field)
    settings = load(file, environment=found)
    assert settings.auth.mode == "token"
    return settings


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = Path(sys.executable).with_name("hadolint")

    done = subprocess.run([program, DEPLOY / "Dockerfile"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_holds_all_packages_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    build_step, last = text.rsplit("\nFROM ", 1)
    copied = {name.rstrip("/") for name in re.findall(r"^COPY (\S+)/ \S+$", build_step, re.M)}
    links = {one.name for one in (ROOT / "driftline").iterdir() if one.is_symlink()}

    assert copied == {"driftline", *links}
    assert "--require-hashes" in build_step
    assert re.findall(r"^USER (\S+)$", text, re.M) == ["10001:10001"]
    assert "STOPSIGNAL SIGTERM" in last
    require_command([*json.loads(re.findall(r"^CMD (.*)$", last, re.M)[0]), "-c", SETTINGS_FILE])


def test_compose_is_valid() -> None:
    compose_spec.PyCompose((DEPLOY / "compose.yaml").read_text())

    assert set(SERVICES) == {"migrate", *PROCESSES}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_compose_is_true_of_the_code(name: str, tmp_path: Path) -> None:
    service = SERVICES[name]
    environment = service["environment"]
    settings = checked_settings(
        DEPLOY / "driftline.toml", environment, service["secrets"], tmp_path
    )

    require_command(service["command"])
    assert service["command"][0] == name
    assert service["image"] == f"driftline:{VERSION}"
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"]
    assert f"./driftline.toml:{SETTINGS_FILE}:ro" in service["volumes"]
    assert settings.root == "/var/lib/driftline"
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])
    if name in PROCESSES:
        assert int(environment["HEALTH_PORT"]) == port_of(name, settings)
    for mapping in service.get("ports", ()):
        assert mapping.split(":") == ["127.0.0.1", *[str(port_of(name, settings))] * 2]


def test_secrets_of_compose_are_files() -> None:
    assert all(list(secret) == ["file"] for secret in COMPOSE["secrets"].values())


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: one["metadata"]["name"])
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.33", strict=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"server_replica": 3}, "replica is not allowed"),
        ({"processes_sinks": {"port": 8083, "replicas": 1}}, "sinks is not allowed"),
        ({"server_resources_limit": {"memory": "4Gi"}}, "limit is not allowed"),
        ({"server_autoscaling_minReplica": 3}, "minReplica is not allowed"),
        ({"kserve": [{**KSERVE, "upstream": "x"}]}, "upstream is not allowed"),
        ({"processes_sink_replicas": "two"}, "processes.sink.replicas: Invalid type"),
    ],
)
def test_the_chart_refuses_a_misspelt_or_wrong_value(values: dict[str, Any], said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(**values)

    assert said in refused.value.stderr.decode()


def test_the_pod_of_an_inference_service_records_beside_its_model() -> None:
    (service,) = (one for one in rendered(kserve=[KSERVE]) if one["kind"] == "InferenceService")
    predictor = service["spec"]["predictor"]
    proxy, model, sidecar = predictor["containers"]

    # Of a predictor's own, KServe takes all that a pod has.
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "iris"}, "spec": predictor}
    kubernetes_validate.validate(pod, "1.33", strict=True)
    for container in (proxy, sidecar):
        require_command(container["args"])
    # Knative sends requests to the one container that has a port.
    assert [one["name"] for one in predictor["containers"] if "ports" in one] == [
        "kserve-container"
    ]
    assert (proxy["args"][0], sidecar["args"][0]) == ("proxy", "sidecar")
    assert f"http://127.0.0.1:{KSERVE['port']}" in proxy["args"]
    assert model == {"name": "model", **KSERVE["model"]}
    spools = [
        one["mountPath"] for part in (proxy, sidecar) for one in part["volumeMounts"]
        if one["name"] == "local"
    ]  # fmt: skip
    assert spools == ["/var/lib/driftline"] * 2


def test_the_autoscaler_decides_how_many_servers_there_are() -> None:
    by_kind = {one["kind"]: one for one in MANIFESTS}
    target = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]

    assert target["name"] == by_kind["StatefulSet"]["metadata"]["name"]
    assert "replicas" not in by_kind["StatefulSet"]["spec"]
    assert {one["kind"]: one for one in rendered()}["StatefulSet"]["spec"]["replicas"] == 2


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_may_do_little_and_has_time_to_stop(pod: dict[str, Any]) -> None:
    pauses = [
        int(one["lifecycle"]["preStop"]["exec"]["command"][1])
        for one in pod["containers"]
        if "lifecycle" in one
    ]
    processes = len(pod["containers"]) + len(pod.get("initContainers", ()))

    assert pod["terminationGracePeriodSeconds"] > sum(pauses) + processes * STOP_S
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        rights = container["securityContext"]
        assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (
            False,
            True,
        )
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["image"].endswith(f"/driftline:{VERSION}")


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_is_true_of_the_code(name: str, tmp_path: Path) -> None:
    container = CONTAINERS[name]
    environment = {one["name"]: one["value"] for one in container.get("env", ())}
    (config,) = (one for one in MANIFESTS if one["kind"] == "ConfigMap")
    file = tmp_path / "driftline.toml"
    file.write_text(config["data"][file.name])
    made = re.findall(r"--from-file=(\w+)", (HELM / "values.yaml").read_text())
    settings = checked_settings(file, environment, made, tmp_path)

    require_command(container["args"])
    assert container["args"][0] == name
    for kind, probe in container.items():
        if kind.endswith("Probe") and "exec" in probe:
            script, port = probe["exec"]["command"][1:]
            assert script in (DEPLOY / "Dockerfile").read_text()
            assert int(port) == port_of(name, settings)
        elif kind.endswith("Probe"):
            assert probe["httpGet"]["path"] in ("/healthz", "/readyz")
            assert container["ports"][0]["containerPort"] == port_of(name, settings)
            # A cluster asks by the pod's address, which is no name of ours.
            assert probe["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


@pytest.fixture(params=["driftline.service", "driftline@.service"])
def unit(request: pytest.FixtureRequest) -> Path:
    return DEPLOY / "systemd" / request.param


def test_a_unit_is_true_of_the_code(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    service = parser["Service"]
    # What it runs at most: all processes, or one.
    most = len(set(ROLES["kafka"].values())) if unit.stem == "driftline" else 1

    for process in PROCESSES if "@" in unit.name else ["up"]:
        words = service["ExecStart"].replace("%i", process).split()
        require_command(words[1:])
    assert int(service["TimeoutStopSec"]) > most * STOP_S
    assert service["KillMode"] == "mixed"  # All at once would end model workers under requests.
    # Wrong settings end a process with 2; it would end so again and again.
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["User"] == "driftline"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "driftline"


def directives(block: Sequence[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    for one in block:
        if one["directive"] == name:
            yield one
        yield from directives(one.get("block", ()), name)


def test_the_proxy_takes_the_headers_away_that_say_who_asks() -> None:
    read = crossplane.parse(str(DEPLOY / "proxy" / "nginx.conf"), single=True, strict=True)
    settings = Settings()
    assert read["errors"] == []
    config = read["config"][0]["parsed"]
    places = {
        one["args"][0]: location["block"]
        for location in directives(config, "location")
        for one in directives(location["block"], "proxy_pass")
    }

    for port in (settings.server.port, settings.dashboard.port):
        block = places[f"http://127.0.0.1:{port}"]
        headers = {one["args"][0]: one["args"][1] for one in directives(block, "proxy_set_header")}
        assert headers["X-Forwarded-User"] in ("", "$person")
        assert headers["X-Forwarded-Groups"] in ("", "$groups")
        assert headers["Host"] == "$host"
    pages = places[f"http://127.0.0.1:{settings.dashboard.port}"]
    assert [one["args"] for one in directives(pages, "include")] == [
        ["/etc/nginx/driftline-secret.conf"]
    ]
    assert list(directives(pages, "auth_request"))
    (size,) = (one["args"][0] for one in directives(config, "client_max_body_size"))
    assert int(size.removesuffix("m")) << 20 == settings.serving.max_request_bytes
    (patience,) = (one["args"][0] for one in directives(config, "proxy_read_timeout"))
    assert int(patience.removesuffix("s")) > settings.serving.timeout_s


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_the_process_answers(status: int, code: int) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        command = [sys.executable, DEPLOY / "healthy.py", str(server.server_port)]
        done = subprocess.run(command, capture_output=True, timeout=60)
        thread.join()

    assert done.returncode == code
