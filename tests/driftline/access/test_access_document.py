"""docs/access.md: its settings load, and its roles are all there."""

import re
from pathlib import Path

import pytest
import yaml

from driftline.access.principal import ROLES
from driftline.app.settings.settings import load

TEXT = (Path(__file__).parents[3] / "docs" / "access.md").read_text()


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("toml"))
def test_settings_load(block, tmp_path):
    file = tmp_path / "driftline.toml"
    file.write_text(block)
    token = {"DRIFTLINE_METRICS__TOKEN": "t" * 40}

    found = load(file, environment=token if "[metrics]" in block else {})

    assert found.sources


def test_each_role_has_its_line_and_what_it_scrapes_is_yaml():
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == list(ROLES)
    (scrapes,) = (yaml.safe_load(block)["scrape_configs"] for block in blocks("yaml"))
    assert all(one["authorization"]["credentials_file"] for one in scrapes)
