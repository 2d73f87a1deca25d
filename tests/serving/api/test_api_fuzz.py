"""Requests made from the OpenAPI document: some hundred, or with --full some thousand."""

import pytest

from tests.serving.api.tour import populated

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    # Brings Schemathesis, which takes each process that collects the tests a second.
    from tests.serving.api import fuzz

    return fuzz


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with populated(tmp_path_factory.mktemp("fuzzed")) as found:
        yield found


@pytest.fixture(scope="module")
def things(bench, server):
    return bench.things_of(server)


def test_nothing_is_answered_that_the_document_does_not_name(pytestconfig, bench, server, things):
    count, share = (10_000, (4, 6)) if pytestconfig.getoption("full") else (1, (1, 3))

    found = bench.fuzz(server, things, count, share=share)

    assert found.faults == {}
    assert found.count > 300
