"""model.tar.gz as SageMaker's images leave it, through the command line."""

import io
import pickle
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import xgboost

from tests.servers.commands import driftline

ROWS = np.random.default_rng(5).normal(size=(200, 2)).round(2)
SETTINGS = "[serving]\ntrust_pickle = true\n"


def pack(folder: Path, members: dict[str, bytes]) -> Path:
    """Write model.tar.gz."""
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder / "model.tar.gz"


def predict(artefact: Path, settings: str = SETTINGS) -> subprocess.CompletedProcess[str]:
    """Have the command line predict a few rows."""
    folder = artefact.parent
    (folder / "driftline.toml").write_text(settings)
    np.savetxt(folder / "rows.csv", ROWS[:5], delimiter=",")
    return driftline("transform", artefact, "rows.csv", "-o", "scores", cwd=folder)


def scores(folder: Path) -> np.ndarray:
    """Return what was written."""
    return np.loadtxt(folder / "scores" / "rows.csv.out", delimiter=",", ndmin=2)


@pytest.mark.parametrize("form", ["ubj", "json", "pickle"])
@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic"])
def test_xgboosts_artefact_answers_as_the_booster(objective, form, tmp_path):
    labels = (ROWS[:, 0] > 0).astype(int)
    booster = xgboost.train({"objective": objective}, xgboost.DMatrix(ROWS, labels), 5)
    content = pickle.dumps(booster) if form == "pickle" else bytes(booster.save_raw(form))

    answer = predict(pack(tmp_path, {"xgboost-model": content}))

    assert answer.returncode == 0, answer.stdout
    expected = booster.predict(xgboost.DMatrix(ROWS[:5]))
    np.testing.assert_allclose(scores(tmp_path)[:, -1], expected, rtol=1e-5)


def test_a_file_of_xgboost_that_may_be_a_pickle_has_to_be_trusted(tmp_path):
    (tmp_path / "xgboost-model").write_bytes(pickle.dumps("no model"))

    answer = predict(tmp_path / "xgboost-model", "[serving]\ntrust_pickle = false\n")

    assert answer.returncode != 0
    assert "trust_pickle" in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"inference.py": b"def model_fn(folder): ..."}, ["code/inference.py"]),
        (
            {"code/inference.py": b"def model_fn(folder):\n    return {}['weights']"},
            ["model_fn", "KeyError", "weights"],
        ),
        ({"code/inference.py": b"import not_there"}, ["inference.py", "not_there"]),
    ],
    ids=["code at the top", "model_fn raises", "import raises"],
)
def test_an_artefact_that_cannot_be_served_says_what_to_change(members, words, tmp_path):
    answer = predict(pack(tmp_path, members))

    assert answer.returncode == 2
    assert "cannot be read" not in answer.stderr
    assert all(word in answer.stderr for word in words), answer.stderr
