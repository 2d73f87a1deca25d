from functools import partial

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from driftline.errors import InputError
from driftline.estimators.categories import categories_of
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor
from tests.serving.hosting.formats.archives import save

XGB, XGB_NUMBER = xgboost.XGBClassifier, xgboost.XGBRegressor
LGBM = partial(lightgbm.LGBMClassifier, verbose=-1)
LGBM_NUMBER = partial(lightgbm.LGBMRegressor, verbose=-1)


def numbers(rows, width):
    return np.random.default_rng(1).normal(size=(rows, width))


@pytest.mark.parametrize(
    ("name", "kind", "classes", "named"),
    [
        ("m.json", XGB, 2, True), ("m.ubj", XGB, 3, False), ("m.json", XGB_NUMBER, 0, True),
        ("m.txt", LGBM, 2, True), ("m.txt", LGBM, 3, False), ("m.txt", LGBM_NUMBER, 0, False),
    ],
)  # fmt: skip
def test_files_of_boosted_trees_answer_as_the_model_that_was_saved(
    name, kind, classes, named, tmp_path
):
    values = numbers(300, 4)
    score = values[:, 0] + values[:, 1] * values[:, 2]
    target = np.digitize(score, np.quantile(score, [0.5, 0.8])[: classes - 1])
    rows = pd.DataFrame(values, columns=list("wxyz")) if named else values
    model = kind(n_estimators=5, n_jobs=1).fit(rows, target if classes else score)

    predictor = load_predictor(save(model, tmp_path, name), trust_pickle=False)
    answer = predictor.predict(dict(zip("wxyz", values.T, strict=True)))

    found = predictor.description
    assert found.feature_names == (("w", "x", "y", "z") if named else None)
    assert (found.feature_count, len(found.classes)) == (4, classes)
    np.testing.assert_allclose(answer.predictions, model.predict(rows), rtol=1e-6)
    if classes:
        chances = model.predict_proba(rows)
        expected = chances if classes > 2 else chances[:, 1:]
        np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)
    else:
        assert answer.probabilities is None


@pytest.mark.parametrize("words", [["Zürich", "Bern", "Rome"], ["日本"]])
def test_categories_that_xgboost_cuts_are_refused_and_others_are_whole(words, tmp_path):
    rows = pd.DataFrame({"word": pd.Categorical(words * 60), "x": np.arange(60.0 * len(words))})
    target = np.arange(len(rows)) % 2
    cut = XGB(n_estimators=2, enable_categorical=True).fit(rows, target)
    whole = LGBM(n_estimators=2).fit(rows, target)

    assert sorted(categories_of(whole)["word"]) == sorted(words)
    load_predictor(save(whole, tmp_path), trust_pickle=False)
    with pytest.raises(InputError, match='column "word" of the model: xgboost cuts'):
        load_predictor(save(cut, tmp_path), trust_pickle=False)


@pytest.mark.parametrize(("ordered", "named"), [(["word"], "auto"), ([], ["code"])])
def test_a_model_that_does_not_say_which_columns_have_which_categories_is_refused(
    ordered, named, tmp_path
):
    rows = pd.DataFrame(
        {
            "word": pd.Categorical(["a", "b", "c"] * 60, ordered="word" in ordered),
            "code": np.arange(180) % 6,
            "x": np.arange(180.0),
        }
    )
    model = LGBM(n_estimators=2).fit(rows, np.arange(180) % 2, categorical_feature=named)

    with pytest.raises(ModelError, match="does not say which columns have which categories"):
        load_predictor(save(model, tmp_path), trust_pickle=False)


@pytest.mark.parametrize("kind", [partial(XGB, enable_categorical=True), LGBM])
def test_files_of_models_of_categories_get_them_again(kind, tmp_path):
    values = numbers(300, 2)
    codes = np.random.default_rng(2).integers(0, 3, (2, 300))
    words, sizes = np.array(["a", "b", "c"], object)[codes[0]], np.array([30, 10, 20])[codes[1]]
    rows = pd.DataFrame(values, columns=["w", "x"]).assign(
        only=pd.Categorical(["k"] * 300), word=pd.Categorical(words), size=pd.Categorical(sizes)
    )
    target = (values[:, 0] + codes[0] - (sizes == 10) > 0.5).astype(int)
    model = kind(n_estimators=9, n_jobs=1).fit(rows, target)
    predictor = load_predictor(save(model, tmp_path), trust_pickle=False)

    told = {"only": ("k",), "word": ("a", "b", "c"), "size": ("10", "20", "30")}
    assert predictor.description.categories == told
    known = {**dict(zip("wx", values.T, strict=True)), "only": np.full(300, "k", object)}
    for given in (sizes, sizes.astype(float), sizes.astype(str).astype(object)):
        answer = predictor.predict({**known, "word": words, "size": given})
        expected = model.predict_proba(rows)[:, 1:]
        np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)

    none = np.full(300, "z", object)
    unknown = predictor.predict({**known, "word": none, "size": sizes})
    missing = rows.assign(word=pd.Categorical([None] * 300, list("abc")))
    expected = model.predict_proba(missing)[:, 1:]
    np.testing.assert_allclose(unknown.probabilities, expected, rtol=1e-6)
