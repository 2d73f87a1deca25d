"""The short form of bench/api_fuzz.py: some hundred requests made from the OpenAPI document."""

import pytest

from tests.serving.api_yard import populated

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    # Brings Schemathesis, which takes each process that collects the tests a second.
    from bench import api_fuzz

    return api_fuzz


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with populated(tmp_path_factory.mktemp("fuzzed")) as found:
        yield found


@pytest.fixture(scope="module")
def things(bench, server):
    return bench.things_of(server)


def test_nothing_is_answered_that_the_document_does_not_name(bench, server, things):
    found = bench.fuzz(server, things, 1, share=(2, 2))

    assert found.faults == {}
    assert found.count > 300


def test_an_answer_that_is_not_documented_is_found(bench, server, things):
    shown = "GET /api/v1/executions/{execution_id}"
    document = server.client.get("/openapi.json").json()
    del document["paths"][shown[4:]]["get"]["responses"]["404"]
    form = document["components"]["schemas"]["DescribedExecution"]
    del form["properties"]["cause"]
    form["required"].remove("cause")

    found = bench.fuzz(server, things, 1, only=shown, document=document)

    sentences = " ".join(sentence for _, sentence in found.faults)
    assert "Undocumented status code" in sentences
    assert "cause" in sentences
