"""The OpenAPI document says all of every operation, and what it says is what a server does."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from driftline.serving.operations.registry import OPERATIONS
from tests.serving.api.tour import closed, operations_of, populated, tour


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with populated(tmp_path_factory.mktemp("openapi")) as found:
        yield found


@pytest.fixture(scope="module")
def document(server):
    return server.client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def calls(server):
    return tour(server)


def described(document):
    """Return every operation by method and path."""
    return {f"{method} {path}": one for method, path, one in operations_of(document)}


def reader(document, schema):
    """Return what checks values by a schema of the document."""
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def test_what_is_answered_is_what_the_document_says_and_no_field_more(document, calls):
    strict = closed(document)
    wrong = []
    for key, (_, answer) in calls.items():
        said = described(strict)[key]["responses"][str(answer.status_code)]
        media = answer.headers.get("content-type", "").partition(";")[0]
        if answer.content and media not in said.get("content", {}):
            wrong.append(f"{key}: {media}")
        if answer.content and media == "application/json":
            found = reader(strict, said["content"][media]["schema"]).iter_errors(answer.json())
            wrong += [
                f"{key}: {'/'.join(map(str, one.instance_path))} {one.message[:400]}"
                for one in found
            ]

    assert wrong == []


def test_the_tour_and_the_document_come_by_every_operation(document, calls):
    assert set(calls) == set(described(document)) == {*OPERATIONS}


def test_the_page_shows_each_operation_without_scripts(server):
    page = server.client.get("/docs").text
    sections = dict(zip(*[iter(re.split(r'<section id="(\w+)">', page)[1:])] * 2, strict=True))

    assert set(sections) == {one.id for one in OPERATIONS.values()}
    assert "<script" not in page


def test_the_page_of_the_python_client_runs_as_it_stands(server, capsys):
    page = (Path(__file__).parents[3] / "docs" / "python-client.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    exec(code.replace("http://127.0.0.1:8080", server.url), {})

    shown = capsys.readouterr().out
    assert "carrier" in shown and "cron(0 0 ? * * *)" in shown
