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


def test_an_answer_that_is_not_documented_is_found(bench, server, things):
    shown = "GET /api/v1/audit"
    document = server.client.get("/openapi.json").json()
    del document["paths"][shown[4:]]["get"]["responses"]["4XX"]
    form = document["components"]["schemas"]["AuditEntry"]
    del form["properties"]["subject"]
    form["required"].remove("subject")

    found = bench.fuzz(server, things, 1, only=shown, document=document)

    sentences = " ".join(sentence for _, sentence in found.faults)
    assert "Undocumented status code" in sentences
    assert "subject" in sentences
