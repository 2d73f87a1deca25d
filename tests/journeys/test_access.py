"""An installation that asks who asks: commands by themselves, others by tokens, all of it noted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.waiting import wait

pytestmark = pytest.mark.slow

PAST = labelled(stream(ORDERS, rows=600, seed=1))
FEATURES = ["km", "rain_mm"]
SETTINGS = '[server]\nhost = "0.0.0.0"\n[auth]\nmode = "token"\nhosts = ["driftline"]'


@dataclass
class Guarded:
    """An installation, and the secrets made so far."""

    shop: Installation
    secrets: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, name: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command there, with a token by its name or without one."""
        token = {"DRIFTLINE_AUTH__TOKEN": self.secrets[name]} if name else {}
        found = self.shop.cli(*words, COLUMNS="80", **token)
        assert found.returncode == code, found.stderr
        return found

    def make(self, name: str, *words: str) -> None:
        self.secrets[name] = self.run("token", "create", name, *words).stdout.strip()

    def ask(self, method: str, path: str, secret: str = "", host: str = "") -> int:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        headers |= {"host": host} if host else {}
        headers |= {"content-type": "text/csv"} if method == "POST" else {}
        body = "1.0,2.0\n" if method == "POST" else None
        return self.shop.request(method, path, content=body, headers=headers).status_code


@pytest.fixture(scope="module")
def guarded(install: Callable[..., Installation]) -> Guarded:
    return Guarded(install(SETTINGS, is_forked=True))


def test_tokens_let_in_whom_they_are_for_and_the_audit_log_shows_it(guarded: Guarded) -> None:
    found, shop = guarded, guarded.shop
    own = (shop.folder / "store" / "access.token").read_text().strip()
    invocations, lines = "/endpoints/orders/invocations", "/api/v1/endpoints/orders/capture/lines"

    # Nobody without a token, whoever has it by the names of the settings.
    assert found.ask("GET", "/healthz") == 200
    assert found.ask("GET", "/api/v1/alarm-states") == 401
    assert found.ask("POST", invocations) == 401
    assert found.ask("GET", "/api/v1/alarm-states", own, "driftline:8080") == 200
    assert found.ask("GET", "/api/v1/alarm-states", own, "other:8080") == 403
    assert "tokens travel in the clear" in shop.log
    assert "access.token" in shop.log

    # Commands beside the settings need none.
    shop.deploy("orders", fit(PAST), PAST[[*FEATURES, "late"]], "--label", "late")
    PAST[FEATURES][:2].to_csv(shop.folder / "rows.csv", index=False, header=False)
    found.make("shop", "--role", "invoke", "--endpoint", "orders")
    found.make("reader", "--role", "viewer")

    # Each role does its own, and nothing else.
    assert len(found.run("invoke", "orders", "rows.csv", name="shop").stdout.splitlines()) >= 2
    assert "role viewer" in found.run("get", "alarm", name="shop", code=2).stderr
    assert found.ask("POST", invocations, found.secrets["reader"]) == 403
    assert "orders" in found.run("get", "endpoint", name="reader").stdout
    assert found.ask("GET", lines, found.secrets["reader"]) == 403

    # boto3 signs with an access key.
    said = found.run("access-key", "create", "boto", "--role", "invoke").stdout
    key_id, found.secrets["boto"] = (line.partition("=")[2] for line in said.split())

    def sign(secret: str) -> int:
        client = boto3.client(
            "sagemaker-runtime", endpoint_url=shop.url, region_name="eu-west-1",
            aws_access_key_id=key_id, aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        try:
            asked = {"EndpointName": "orders", "Body": b"1.0,2.0\n", "ContentType": "text/csv"}
            return len(client.invoke_endpoint(**asked)["Body"].read()) and 200
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])

    assert sign(found.secrets["boto"]) == 200
    assert sign("x" * 40) == 403

    # A browser reads of the programming interface in the dashboard.
    assert found.ask("GET", "/docs") == 401
    with httpx.Client(base_url=shop.dashboard_url, timeout=60) as browser:
        assert browser.post("/login", json={"token": found.secrets["reader"]}).is_success
        assert "programming interface" in browser.get("/docs").text
        (found.secrets["session"],) = browser.cookies.values()

    # What is revoked is refused soon.
    assert found.ask("POST", invocations, found.secrets["shop"]) == 200
    found.run("token", "revoke", "shop")
    wait(lambda: found.ask("POST", invocations, found.secrets["shop"]) == 401)
    found.run("access-key", "revoke", "boto")
    wait(lambda: sign(found.secrets["boto"]) == 403)

    entries = json.loads(found.run("audit", "--json").stdout)
    noted = {(one["subject"], one["action"], one["target"], one["status"]) for one in entries}
    assert noted >= {
        ("local", "create", "Token/shop", None),
        ("local", "create", "AccessKey/boto", None),
        ("local", "create", "Endpoint/orders", None),
        ("local", "delete", "Token/shop", None),
        ("shop", "GET /api/v1/{collection}", "/api/v1/alarms", 403),
        ("reader", f"GET {lines.replace('orders', '{name}')}", lines, 403),
    }

    # A secret is where it belongs, and nowhere else.
    files = [file for file in shop.folder.rglob("*") if file.is_file()]
    assert len(files) > 20
    for name, secret in {"own": own, **found.secrets}.items():
        places = [file.name for file in files if secret.encode() in file.read_bytes()]
        assert places == (["access.token"] if name == "own" else []), name
