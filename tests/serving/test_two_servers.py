"""Two servers on one database and one storage root: each follows what the other changes."""

import os
import signal

import pytest
import skops.io
from sklearn.base import clone

from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from tests.serving.conftest import resource, running

ROW = "UA,EWR,2900,39"


@pytest.fixture
def pair(tmp_path, postgres):
    """Both servers: each with its own spool, on the same database and folder."""
    name = postgres.new_database()
    (tmp_path / "a" / "root").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "root").symlink_to(tmp_path / "a" / "root")
    one, other = (running(tmp_path / each, database=postgres.url(name)) for each in "ab")
    with one as first, other as second:
        yield first, second
    postgres.drop(name)


def test_a_server_follows_what_another_changes_and_keeps_the_model_that_it_runs_on(
    pair, trained, tmp_path, until
):
    first, second = pair
    inverted = tmp_path / "inverted.skops"  # It says late where the other says on time.
    model = clone(trained.model).fit(trained.inputs, 1 - trained.frame["late"])
    skops.io.dump(model, inverted)
    until(lambda: second.invoke("flights", ROW).status_code == 404)

    assert first.apply(*trained.flights()).status_code == 200
    until(lambda: second.invoke("flights", ROW).status_code == 200)
    before = first.invoke("flights", ROW).content
    assert second.invoke("flights", ROW).content == before
    (old,) = (first.root / "models" / "flights").iterdir()

    # The other server looks at nothing for a while: as one that hangs, or is cut off.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EndpointReconciler, "has_followed", lambda *_: True)
        updated = resource("Model", "flights", path=str(inverted))
        assert first.apply(updated).status_code == 200
        # Neither says of an apply that all have followed.
        until(lambda: first.invoke("flights", ROW).content != before)
        after = first.invoke("flights", ROW).content
        for worker in second.worker_ids():
            os.kill(worker, signal.SIGKILL)
        until(lambda: second.invoke("flights", ROW).content == before)
        assert old.exists()
    until(lambda: second.invoke("flights", ROW).content == after)

    for path in ("endpoints/flights", "baselines/flights", "models/flights"):
        assert second.client.delete(f"/api/v1/{path}").status_code == 204
    until(lambda: first.invoke("flights", ROW).status_code == 404)
