"""The commands of docs/batch-transform.md are run as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.servers.commands import driftline

PAGE = Path(__file__).parents[3] / "docs" / "batch-transform.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 3)), columns=["a", "b", "c"])
    model = LogisticRegression().fit(rows, (rows["a"] > 0).astype(int))
    skops.io.dump(model, tmp_path / "model.skops")
    rows.to_csv(tmp_path / "march.csv", index=False)
    rows.assign(id=range(60))[["id", "a", "b", "c"]].to_csv(
        tmp_path / "ids.csv", index=False, header=False
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_page_do_what_it_says(folder):
    commands = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "driftline"
        driftline(*words).check_returncode()

    joined = pd.read_csv(folder / "scores" / "march.csv.out", header=None)
    chosen = pd.read_csv(folder / "by-id" / "ids.csv.out", header=None)
    assert joined.shape == (60, 5)
    assert chosen[0].tolist() == list(range(60))
    assert np.allclose(chosen[1], joined[4])
