import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
)

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor


class Foreign:
    """Stands for a type that is not scikit-learn's."""

    def predict(self, rows):
        return rows


def numbers(rows=40, width=3, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)), random.integers(0, 3, rows)


def histograms(folder):
    """Save trees of histograms with a column of categories; return them, and rows."""
    values, labels = numbers(200)
    words = np.array(["a", "b", "c"], object)[np.random.default_rng(2).integers(0, 3, 200)]
    rows = pd.DataFrame(values, columns=list("xyz")).assign(word=pd.Categorical(words))
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    skops.io.dump(model.fit(rows, labels), folder / "m.skops")
    return model, rows


def changed(file, change):
    """Write a file again, with another schema."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    change(schema)
    parts["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def partials_in(node):
    if isinstance(node, dict) and node.get("__class__") == "partial":
        return [node]
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [found for one in inner for found in partials_in(one)]


def test_trees_of_histograms_with_categories_are_read(tmp_path):
    model, rows = histograms(tmp_path)

    answer = load_predictor(tmp_path / "m.skops", trust_pickle=False).predict(
        {name: rows[name].astype(object).to_numpy() for name in rows}
    )

    np.testing.assert_allclose(answer.probabilities, model.predict_proba(rows), rtol=1e-12)


def other_function(node):
    node["content"]["func"] |= {"__class__": "mean", "__module__": "numpy"}


def other_words(node):
    node["content"]["kwds"]["content"]["ensure_all_finite"]["content"] = "true"


def one_word_more(node):
    words, types = node["content"]["kwds"]["content"], node["content"]["kwds"]["key_types"]
    words["copy"] = words["ensure_all_finite"]
    types["content"].append(types["content"][0])


def other_arguments(node):
    node["content"]["args"]["content"] = [node["content"]["namespace"]]


def other_state(node):
    node["content"]["namespace"] = node["content"]["kwds"]


def other_loader(node):
    node |= {"__loader__": "ConstructorFromReduceNode", "content": node["content"]["args"]}


def id_of_another(node):
    """Have skops take numpy.float64, which it has met before, for the function."""
    (number,) = node["content"]["kwds"]["content"]["dtype"]["content"]
    node["content"]["func"]["__id__"] = number["__id__"]


@pytest.mark.parametrize(
    "change",
    [
        other_function, other_words, one_word_more, other_arguments, other_state, other_loader,
    ],
)  # fmt: skip
def test_no_other_partial_is_read(change, tmp_path):
    histograms(tmp_path)
    changed(tmp_path / "m.skops", lambda schema: change(partials_in(schema)[0]))

    with pytest.raises(ModelError, match=r"types functools\.partial"):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)


def test_an_id_does_not_change_the_partial(tmp_path):
    model, rows = histograms(tmp_path)
    changed(tmp_path / "m.skops", lambda schema: id_of_another(partials_in(schema)[0]))

    answer = load_predictor(tmp_path / "m.skops", trust_pickle=False).predict(
        {name: rows[name].astype(object).to_numpy() for name in rows}
    )

    np.testing.assert_allclose(answer.probabilities, model.predict_proba(rows), rtol=1e-12)


@pytest.mark.parametrize("loader", ["LossNode", "ConstructorFromReduceNode", "ObjectNode"])
def test_a_type_of_numbers_is_not_trusted_by_a_loader_that_calls_it(loader, tmp_path):
    skops.io.dump(SimpleImputer().fit(numbers()[0]), tmp_path / "m.skops")
    with zipfile.ZipFile(tmp_path / "m.skops") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["schema.json"] = parts["schema.json"].replace(b"DTypeNode", loader.encode())
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)

    with pytest.raises(
        ModelError, match=r"numpy\.dtype( \(\w+\))?; only types of scikit-learn|cannot be read"
    ):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)


def test_a_skops_file_with_a_foreign_type_is_refused_by_the_types_name(tmp_path):
    skops.io.dump(Foreign(), tmp_path / "m.skops")

    with pytest.raises(
        ModelError, match=r"Foreign; only types of scikit-learn are trusted.*trust_pickle = true"
    ):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)


def test_a_function_of_another_module_in_a_skops_file_is_refused(tmp_path):
    model = Pipeline(
        [("call", FunctionTransformer(np.save)), ("fit", LogisticRegression())], memory=None
    )
    skops.io.dump(model, tmp_path / "m.skops")

    with pytest.raises(ModelError, match="numpy"):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)


def test_a_zip_that_is_no_model_is_one_sentence(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr("schema.json", "{}")

    with pytest.raises(ModelError, match=r"m\.skops"):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)
