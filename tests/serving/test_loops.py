"""A fault of ours in a loop of the server, which nobody awaits, is told and does not end it."""

import pytest

from driftline.serving import app
from driftline.serving.hosting import endpoint_reconciler
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler


def test_a_loop_that_a_fault_ended_is_begun_again_and_counted(
    start, tmp_path, until, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "AGAIN_S", 0.01)
    monkeypatch.setattr(endpoint_reconciler, "FOLLOW_S", 0.01)
    looks = []

    def look(reconciler: EndpointReconciler, _: object) -> bool:
        if reconciler._context.root != str(tmp_path / "root"):
            return True  # Another server of this process, which a whole session of tests uses.
        looks.append(1)
        if len(looks) == 1:
            raise KeyError("flights")
        return True

    monkeypatch.setattr(EndpointReconciler, "has_followed", look)
    with start(tmp_path) as server:
        until(lambda: len(looks) > 2)

        found = server.client.get("/metrics").text

    assert "driftline_loop_failures_total 1.0" in found
    (told,) = [one for one in caplog.records if "loop=EndpointReconciler" in one.getMessage()]
    assert told.exc_info is not None
