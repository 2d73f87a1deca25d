"""One function is an operation everywhere: REST, document, roles, audit, client, command line."""

from __future__ import annotations

from typing import Annotated

import pytest
from typer.testing import CliRunner

import driftline
from driftline.access.tokens import create_token
from driftline.app.client import generate
from driftline.app.client.operation_table import method_of
from driftline.app.commands import operations as commands
from driftline.app.commands.options import Group
from driftline.serving.operations.registry import OPERATIONS, Json, operation
from driftline.serving.operations.services import Services
from tests.serving.conftest import NOW
from tests.serving.guarded import FILE_SECRET, bearer, guarded

KEY = "POST /api/v1/teapots/{name}/brew"


@pytest.fixture
def row(monkeypatch):
    @operation("POST /teapots/{name}/brew", role="operator", command="teapot brew")
    def brew_tea(
        services: Services,
        name: Annotated[str, "The teapot's name."],
        cups: Annotated[int, "How many cups."] = 1,
    ) -> Json:
        """Brew tea in a teapot.

        Example: driftline teapot brew brown --cups 2
        """
        return {"teapot": name, "cups": cups, "root": services.context.root}

    # Written by scripts/client where it stays.
    rows = [generate._row(one) for one in OPERATIONS.values() if generate._has_method(one)]
    monkeypatch.setattr(commands, "operations", lambda: rows)
    yield next(one for one in rows if one["name"] == "brew_tea")
    del OPERATIONS[KEY]


def test_one_function_is_found_everywhere(row, tmp_path, monkeypatch):
    with guarded(tmp_path) as server:
        with server.engine.begin() as connection:
            viewer = create_token(connection, "eva", ["viewer"], now=NOW, created_by="test")
        path = "/api/v1/teapots/brown/brew"
        refused = server.client.post(path, json={}, headers=bearer(viewer))
        wrong = server.client.post(path, json={"cup": 2}, headers=bearer(FILE_SECRET))
        document = server.client.get("/openapi.json", headers=bearer(FILE_SECRET)).json()
        monkeypatch.setattr(driftline.Client, "brew_tea", method_of(row), raising=False)
        with driftline.Client(server.url, token=FILE_SECRET) as client:
            brewed = client.brew_tea("brown", cups=2)  # type: ignore[attr-defined]
            noted = [(one["subject"], one["status"]) for one in client.audit(target=path)]
        group = Group()
        group.callback()(lambda: None)
        commands.add_operations(group, "teapot")
        monkeypatch.setenv("DRIFTLINE_AUTH__TOKEN", FILE_SECRET)
        words = ["brew", "brown", "--cups", "3", "--server", server.url]
        shown = CliRunner().invoke(group, words)

    assert refused.status_code == 403 and "this takes the role operator" in refused.text
    assert wrong.status_code == 400 and "cup" in wrong.text
    described = document["paths"]["/api/v1/teapots/{name}/brew"]["post"]
    assert described["operationId"] == "brew_tea" and "role `operator`" in described["description"]
    assert brewed["teapot"] == "brown" and brewed["cups"] == 2
    assert ("eva", 403) in noted and len(noted) == 3
    assert shown.exit_code == 0 and "cups: 3" in shown.output, shown.output
