import subprocess
import sys

import joblib
import numpy as np
import pytest

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import model_formats
from driftline.serving.hosting.predictor import load_predictor
from tests.plugged import plugged_in


@pytest.fixture(autouse=True)
def _fresh_table():
    yield
    model_formats.cache_clear()


def test_pickles_are_refused_unless_they_are_trusted(trained, tmp_path):
    for name in ("m.joblib", "m.pkl"):
        joblib.dump(trained.model, tmp_path / name)

        with pytest.raises(ModelError, match="trust_pickle = true"):
            load_predictor(tmp_path / name, trust_pickle=False)
        assert load_predictor(tmp_path / name, trust_pickle=True).description.classes == ("0", "1")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"x" * 100])
@pytest.mark.parametrize("name", ["m.skops", "m.joblib", "m.onnx"])
def test_a_broken_file_is_one_sentence(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelError, match=name):
        load_predictor(tmp_path / name, trust_pickle=True)


def test_a_folder_with_one_model_file_is_that_model(trained, tmp_path):
    (tmp_path / "a.skops").write_bytes(trained.file.read_bytes())
    (tmp_path / "notes.txt").write_text("…")

    assert load_predictor(tmp_path, trust_pickle=False).description.kind == "classifier"
    (tmp_path / "b.skops").write_bytes(trained.file.read_bytes())
    with pytest.raises(ModelError, match=r"2 model files \(a.skops, b.skops\)"):
        load_predictor(tmp_path, trust_pickle=False)


ACME = """
from driftline.serving.hosting.formats.model_format import ModelFormat

FORMAT = ModelFormat((".acme",), "acme_models:read")


class Double:
    classes_ = None

    def predict(self, rows):
        return 2 * rows[:, 0]


def read(path):
    assert path.read_text() == "double"
    return Double()
"""


def test_a_format_of_another_package_is_an_entry_point(tmp_path):
    (tmp_path / "m.acme").write_text("double")
    entry_points = "[driftline.model_formats]\nacme = acme_models:FORMAT\n"

    with plugged_in(tmp_path, "acme_models", ACME, entry_points):
        model_formats.cache_clear()
        predictor = load_predictor(tmp_path / "m.acme", trust_pickle=False)

    assert list(predictor.predict({"_c0": np.array([1.5, 2.0])}).predictions) == [3.0, 4.0]


def test_the_server_reads_the_table_without_a_library_of_models():
    code = "from driftline.serving.hosting.formats import table; import sys; table.model_suffixes()"
    command = [sys.executable, "-c", f"{code}; print(*sys.modules)"]

    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert not {"sklearn", "joblib", "skops", "numpy", "pandas"} & set(found)
