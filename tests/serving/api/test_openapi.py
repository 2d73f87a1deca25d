"""The OpenAPI document says all of every operation, and what it says is what a server does."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from driftline.serving.operations.registry import OPERATIONS
from tests.serving.api.tour import closed, operations_of, populated, tour

# In generated clients an id is a function's name.
ID = re.compile(r"[a-z]+(_[a-z]+)*")


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


def missing_of(operation):
    """Return what is not said of an operation."""
    answers = operation["responses"]
    yield from (f"status {one}" for one in {"4XX", "5XX"} - set(answers))
    yield from (key for key in ("summary", "description", "tags") if not operation.get(key))
    if ID.fullmatch(operation["operationId"]) is None:
        yield "a readable id"
    yield from (
        f"parameter {one['name']}"
        for one in operation.get("parameters", ())
        if not one.get("description") or "schema" not in one
    )
    for status, answer in answers.items():
        contents = answer.get("content", {})
        if status != "204" and not any("schema" in one for one in contents.values()):
            yield f"schema of {status}"


def test_every_operation_says_all_of_itself(document):
    missing = {key: list(missing_of(one)) for key, one in described(document).items()}

    assert {key: one for key, one in missing.items() if one} == {}


def test_the_document_has_the_operations_with_ids_of_their_own(document):
    ids = [one["operationId"] for one in described(document).values()]

    assert set(described(document)) == {*OPERATIONS}
    assert len(set(ids)) == len(ids)


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


def test_the_tour_comes_by_every_operation(document, calls):
    assert set(calls) == set(described(document))


def test_the_page_shows_each_operation_without_scripts(server):
    page = server.client.get("/docs").text
    sections = dict(zip(*[iter(re.split(r'<section id="(\w+)">', page)[1:])] * 2, strict=True))

    assert set(sections) == {one.id for one in OPERATIONS.values()}
    assert "<code>from</code>" in sections["run_monitor"]
    assert "Needs the role <code>" in sections["report"]
    assert "<script" not in page


def test_the_page_of_the_python_client_runs_as_it_stands(server, capsys):
    page = (Path(__file__).parents[3] / "docs" / "python-client.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    exec(code.replace("http://127.0.0.1:8080", server.url), {})

    shown = capsys.readouterr().out
    assert "carrier" in shown and "cron(0 0 ? * * *)" in shown
