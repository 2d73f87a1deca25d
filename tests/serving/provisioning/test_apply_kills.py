"""A server that is killed while it loads a model and fits a baseline: the next one goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kit.data import ORDERS, stream
from tests.kit.installation import Installation
from tests.serving.hosting.formats.archives import coded
from tests.serving.provisioning.test_controllers import LOADS, WAITS

# Waits for the lease of the server that was killed to run out.
pytestmark = pytest.mark.slow


def test_a_server_that_is_killed_during_a_load_and_a_fit_is_followed_by_one_that_does_both(
    install: Callable[..., Installation],
) -> None:
    settings = "[serving]\ntrust_pickle = true\n"
    shop = install(settings, words=("--only", "server"), is_forked=True)
    reference = shop.folder / "reference.csv"
    stream(ORDERS, rows=200_000, seed=1).to_csv(reference, index=False)
    model = coded(
        shop.folder / "m.tar.gz",
        'return "loaded", "text/plain"',
        LOADS + WAITS.format(gate=shop.folder),
    )
    resources = [
        {"kind": "Model", "name": "m", "spec": {"path": str(model)}},
        {"kind": "Endpoint", "name": "e", "spec": {"model": "m"}},
        {"kind": "Baseline", "name": "b", "spec": {"data": str(reference)}},
    ]
    answer = shop.request("POST", "/api/v1/apply", json={"resources": resources})
    assert answer.status_code == 200, answer.text

    def phase(kind: str, name: str) -> str:
        found = shop.request("GET", f"/api/v1/{kind}/{name}")
        return str(found.json()["status"]["phase"]) if found.is_success else ""

    shop.wait((shop.folder / "loading").exists)
    shop.kill("server")
    (shop.folder / "open").touch()

    shop.wait(shop.is_up)
    for kind, name in (("models", "m"), ("baselines", "b"), ("endpoints", "e")):
        shop.wait(lambda kind=kind, name=name: phase(kind, name) == "Ready")  # type: ignore[misc]
    shop.wait(lambda: shop.is_answering("e", b"1"))
    assert len(shop.get("/api/v1/baselines/b/versions")["items"]) == 1
    assert shop.invoke("e", b"1").text == "loaded"
