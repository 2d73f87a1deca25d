"""``driftline check --kind joint``: what people and programs are told, and the exit codes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.errors import InputError


@pytest.fixture
def files(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=4_000), "c": random.normal(size=4_000)})
    table["b"] = table["a"] + 0.5 * random.normal(size=4_000)
    table[:3_000].to_csv(tmp_path / "reference.csv", index=False)
    table[3_000:].to_csv(tmp_path / "same.csv", index=False)
    mixed = table[3_000:].assign(b=random.permutation(table["b"][3_000:]))
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    done = CliRunner().invoke(
        build(), ["baseline", str(tmp_path / "reference.csv"), "-o", str(tmp_path / "b")]
    )
    assert done.exit_code == 0
    return tmp_path


def checked(files: Path, name: str, *flags: str) -> tuple[int, str]:
    arguments = ["check", str(files / name), "--baseline", str(files / "b"), "--kind", "joint"]
    done = CliRunner().invoke(build(), [*arguments, *flags])
    return done.exit_code, done.stdout


@pytest.mark.full
def test_a_broken_pair_is_told_to_people_and_programs(files: Path) -> None:
    code, text = checked(files, "mixed.csv")
    as_json = json.loads(checked(files, "mixed.csv", "--json")[1])

    assert code == 1
    assert "a × b" in text
    assert as_json["kind"] == "joint"
    assert as_json["violations"][0]["feature_name"] == "a × b"


@pytest.mark.full
def test_data_as_before_pass(files: Path) -> None:
    code, text = checked(files, "same.csv")

    assert code == 0
    assert "no violations" in text


def test_a_baseline_without_a_sample_is_told_apart_from_wrong_data(files: Path) -> None:
    fitted = ["baseline", str(files / "reference.csv"), "--sample", "none"]
    CliRunner().invoke(build(), [*fitted, "-o", str(files / "b")])

    arguments = ["check", str(files / "same.csv"), "--baseline", str(files / "b")]
    done = CliRunner().invoke(build(), [*arguments, "--kind", "joint"])

    assert isinstance(done.exception, InputError)  # Which the program ends with 2 for.
    assert "no sample of its rows" in str(done.exception)
