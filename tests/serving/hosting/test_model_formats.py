import pickle
import subprocess
import sys
import zipfile

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.cluster import FeatureAgglomeration
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.utils import all_estimators

from driftline.serving.hosting.model_files import ModelError
from driftline.serving.hosting.model_formats import Predictor, load_predictor


class Foreign:
    """Stands for a type that is not scikit-learn's."""

    def predict(self, rows):
        return rows


def columns_of(frame):
    return {name: frame[name].to_numpy() for name in ("carrier", "origin", "distance", "temp")}


def numbers(rows=40, width=3, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)), random.integers(0, 3, rows)


def test_a_pipeline_answers_as_the_model_itself_does(trained):
    predictor = load_predictor(trained.file, trust_pickle=False)
    rows = trained.frame.drop(columns="late").head(17)

    answer = predictor.predict(columns_of(rows))

    assert list(answer.predictions) == trained.model.predict(rows).tolist()
    expected = trained.model.predict_proba(rows)[:, 1]
    np.testing.assert_allclose([one for (one,) in answer.probabilities], expected, rtol=1e-12)


def test_columns_may_come_in_another_order_than_the_model_was_fitted_with(trained):
    predictor = load_predictor(trained.file, trust_pickle=False)
    columns = columns_of(trained.frame.head(5))
    turned = dict(reversed(columns.items()))

    assert predictor.predict(turned) == predictor.predict(columns)


def test_a_model_says_what_it_takes_and_answers(trained):
    found = load_predictor(trained.file, trust_pickle=False).description

    assert found.feature_names == ("carrier", "origin", "distance", "temp")
    assert found.classes == ("0", "1")
    assert found.class_type == "int64"
    assert found.has_probability


@pytest.mark.parametrize(
    "model", [RandomForestClassifier(3), HistGradientBoostingClassifier(max_iter=3)]
)
def test_trees_are_trusted_for_they_are_scikit_learns_own(model, tmp_path):
    rows, labels = numbers()
    skops.io.dump(model.fit(rows, labels), tmp_path / "m.skops")

    answer = load_predictor(tmp_path / "m.skops", trust_pickle=False).predict(
        {f"_c{i}": rows[:, i] for i in range(3)}
    )

    assert len(answer.probabilities[0]) == 3


@pytest.mark.parametrize(
    "step",
    [SimpleImputer(), KBinsDiscretizer(3), FeatureAgglomeration(2)],
    ids=lambda step: type(step).__name__,
)
def test_what_scikit_learns_own_estimators_hold_of_numbers_is_trusted(step, tmp_path):
    rows, labels = numbers()
    model = Pipeline([("step", step), ("fit", LogisticRegression())])
    skops.io.dump(model.fit(rows, labels), tmp_path / "m.skops")

    answer = load_predictor(tmp_path / "m.skops", trust_pickle=False).predict(
        {f"_c{i}": rows[:, i] for i in range(3)}
    )

    assert len(answer.probabilities[0]) == 3


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
        ModelError, match=r"numpy\.dtype; only types of scikit-learn|cannot be read"
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


def test_what_scikit_learn_only_imported_is_not_its_own():
    from driftline.serving.hosting.model_formats import _is_sklearn

    assert _is_sklearn("sklearn.tree._tree.Tree")
    assert not _is_sklearn("sklearn.utils._joblib.Parallel")
    assert not _is_sklearn("sklearn.base.clone")
    assert not _is_sklearn("sklearn.nowhere.Thing")
    assert not _is_sklearn("os.system")


def test_pickles_are_refused_unless_they_are_trusted(trained, tmp_path):
    for name in ("m.joblib", "m.pkl"):
        joblib.dump(trained.model, tmp_path / name)

        with pytest.raises(ModelError, match="trust_pickle = true"):
            load_predictor(tmp_path / name, trust_pickle=False)
        assert load_predictor(tmp_path / name, trust_pickle=True).description.classes == ("0", "1")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"x" * 100])
@pytest.mark.parametrize("name", ["m.skops", "m.joblib", "m.pkl"])
def test_a_broken_file_is_one_sentence(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelError, match=name):
        load_predictor(tmp_path / name, trust_pickle=True)


def test_a_zip_that_is_no_model_is_one_sentence(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr("schema.json", "{}")

    with pytest.raises(ModelError, match=r"m\.skops"):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)


def test_a_folder_with_one_model_file_is_that_model(trained, tmp_path):
    (tmp_path / "a.skops").write_bytes(trained.file.read_bytes())
    (tmp_path / "notes.txt").write_text("…")

    assert load_predictor(tmp_path, trust_pickle=False).description.kind == "classifier"
    (tmp_path / "b.skops").write_bytes(trained.file.read_bytes())
    with pytest.raises(ModelError, match=r"2 model files \(a.skops, b.skops\)"):
        load_predictor(tmp_path, trust_pickle=False)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (LogisticRegression(), "not fitted"),
        ({"a": 1}, "expected a model with a method predict"),
        (StandardScaler().fit([[1.0]]), "expected a model with a method predict"),
    ],
)
def test_what_is_no_fitted_model_is_refused(held, sentence, tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(held))

    with pytest.raises(ModelError, match=sentence):
        load_predictor(tmp_path / "m.pkl", trust_pickle=True)


def test_a_regression_answers_numbers_without_probability():
    rows, _ = numbers()
    predictor = Predictor(LinearRegression().fit(rows, rows.sum(axis=1)))

    answer = predictor.predict({f"_c{i}": rows[:2, i] for i in range(3)})

    np.testing.assert_allclose(answer.predictions, rows[:2].sum(axis=1))
    assert answer.probabilities is None


def test_a_classifier_without_probabilities_answers_classes_only():
    rows, labels = numbers()
    predictor = Predictor(LinearSVC().fit(rows, np.array(["a", "b", "c"])[labels]))

    answer = predictor.predict({f"_c{i}": rows[:2, i] for i in range(3)})

    assert set(answer.predictions) <= {"a", "b", "c"}
    assert answer.probabilities is None


def test_the_probability_of_two_classes_is_the_positive_ones(trained):
    columns = columns_of(trained.frame.head(3))

    second = Predictor(trained.model).predict(columns).probabilities
    first = Predictor(trained.model, positive="0").predict(columns).probabilities

    np.testing.assert_allclose(np.array(first) + np.array(second), 1)
    with pytest.raises(ModelError, match="the model knows 0, 1"):
        Predictor(trained.model, positive="yes")


class _Short(LogisticRegression):
    """Answers for one row, however many were asked."""

    def predict_proba(self, rows):
        return super().predict_proba(rows)[:1]


class _Two(LinearRegression):
    """Answers two values a row."""

    def predict(self, rows):
        return np.column_stack([super().predict(rows)] * 2)


def test_a_model_that_answers_other_many_than_rows_is_refused():
    rows = np.arange(12.0).reshape(6, 2)
    columns = {"_c0": rows[:, 0], "_c1": rows[:, 1]}
    short = Predictor(_Short().fit(rows, [0, 1, 0, 1, 0, 1]))
    two = Predictor(_Two().fit(rows, rows[:, 0]))

    for ask in (short.predict, short.numbers, two.predict, two.numbers):
        with pytest.raises(ModelError, match="expected"):
            ask(columns)


def test_what_scikit_learn_finds_on_its_way_stays_out_until_a_model_needs_it():
    code = (
        "import sys; import driftline.serving.hosting.worker; "
        "print({'dask', 'pytest', 'rich', 'numpy.f2py', 'sklearn.gaussian_process'} "
        "& set(sys.modules)); "
        "from sklearn.utils import all_estimators; print(len(all_estimators())); "
        "import dask.array; from sklearn.externals.array_api_compat.dask import array; "
        "print(array.__name__)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "set()",
        str(len(all_estimators())),
        "sklearn.externals.array_api_compat.dask.array",
    ]


def test_every_estimator_is_trusted_though_skops_is_told_of_none(tmp_path):
    random = np.random.default_rng(5)
    rows, labels = random.normal(size=(30, 3)), random.integers(0, 2, 30)
    model = GaussianProcessClassifier().fit(rows, labels)
    skops.io.dump(model, tmp_path / "m.skops")
    code = (
        "import sys; from pathlib import Path; "
        "from driftline.serving.hosting.model_formats import load_predictor; "
        "from skops.io import _trusted_types as trusted; "
        "loaded = load_predictor(Path(sys.argv[1]), trust_pickle=False); "
        "print(type(loaded.model).__name__, trusted.SKLEARN_ESTIMATOR_TYPE_NAMES)"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "m.skops")]

    done = subprocess.run(run, capture_output=True, text=True, check=True)

    assert done.stdout == "GaussianProcessClassifier []\n"


BOOSTED = [
    ("m.json", xgboost.XGBClassifier, 2), ("m.ubj", xgboost.XGBClassifier, 3),
    ("m.json", xgboost.XGBRegressor, 0), ("m.ubj", xgboost.XGBRFClassifier, 2),
    ("m.txt", lightgbm.LGBMClassifier, 2), ("m.txt", lightgbm.LGBMClassifier, 3),
    ("m.txt", lightgbm.LGBMRegressor, 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "classes"), BOOSTED)
@pytest.mark.parametrize("named", [True, False])
def test_files_of_boosted_trees_answer_as_the_model_that_was_saved(
    name, kind, classes, named, tmp_path
):
    values, _ = numbers(300, 4)
    score = values[:, 0] + values[:, 1] * values[:, 2]
    target = np.digitize(score, np.quantile(score, [0.5, 0.8])[: classes - 1])
    rows = pd.DataFrame(values, columns=list("wxyz")) if named else values
    quiet = {"verbose": -1} if name == "m.txt" else {}
    model = kind(n_estimators=5, n_jobs=1, **quiet).fit(rows, target if classes else score)
    (model.booster_ if name == "m.txt" else model).save_model(tmp_path / name)

    predictor = load_predictor(tmp_path / name, trust_pickle=False)
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


def test_boosted_trees_that_answer_no_probabilities_are_refused(tmp_path):
    values, labels = numbers()
    model = xgboost.XGBClassifier(n_estimators=2, objective="binary:hinge")
    model.fit(values, labels > 0).save_model(tmp_path / "m.json")

    with pytest.raises(ModelError, match=r"m\.json answers no probabilities.*binary:logistic"):
        load_predictor(tmp_path / "m.json", trust_pickle=False)


@pytest.mark.parametrize(
    ("name", "library"), [("m.json", "xgboost"), ("m.ubj", "xgboost"), ("m.txt", "lightgbm")]
)
def test_boosted_trees_ask_for_their_library_and_a_broken_file_is_one_sentence(
    name, library, tmp_path, monkeypatch
):
    (tmp_path / name).write_text('{"a": 1}')
    with pytest.raises(ModelError, match=rf"{name} cannot be read \([^\n]*\)$"):
        load_predictor(tmp_path / name, trust_pickle=False)

    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ModelError, match=rf"{name} is a model of {library}, which is not installed"
    ):
        load_predictor(tmp_path / name, trust_pickle=False)


def test_a_folder_with_nothing_but_boosted_trees_is_that_model(tmp_path):
    values, labels = numbers()
    model = xgboost.XGBClassifier(n_estimators=2).fit(values, labels)
    model.save_model(tmp_path / "m.json")

    assert load_predictor(tmp_path, trust_pickle=False).description.classes == ("0", "1", "2")
    (tmp_path / "requirements.txt").write_text("xgboost")
    with pytest.raises(ModelError, match=r"2 model files \(m.json, requirements.txt\)"):
        load_predictor(tmp_path, trust_pickle=False)
