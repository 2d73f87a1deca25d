"""The JSON Schema of resource files takes what the documents show, and names what is wrong."""

from pathlib import Path

import jsonschema_rs
import pytest

from driftline.app.commands.files import read_resources
from driftline.serving.resources.resources import resource_schema

DOCS = Path(__file__).parents[3] / "docs"
READER = jsonschema_rs.Draft7Validator(resource_schema())


def blocks_of(page):
    """Return a page's blocks of YAML that hold resources."""
    blocks = [one.split("```")[0] for one in page.read_text().split("```yaml\n")[1:]]
    return [one for one in blocks if one.startswith(("kind: ", "- kind: ", "# yaml-lang"))]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if blocks_of(page)]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_resources_of_the_documents_fit(page, tmp_path):
    file = tmp_path / "resources.yaml"
    wrong = []
    for block in blocks_of(page):
        file.write_text(block)
        for resource in read_resources(file):
            wrong += [(resource["name"], one.message) for one in READER.iter_errors(resource)]

    assert wrong == []
