"""A skops file is data: what else stands in one is refused, and never built."""

import io
import json
import tracemalloc
import zipfile
from copy import copy
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as gp
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.metrics._scorer import _Scorer
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import Bunch, check_array

from driftline.serving.hosting.formats import skops as formats
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.skops import read
from driftline.serving.hosting.predictor import load_predictor

RANDOM = np.random.default_rng(3)
ROWS = RANDOM.uniform(0.1, 1, size=(60, 4))
CLASSES = RANDOM.integers(0, 3, 60)
NUMBERS = ROWS.sum(axis=1)
TEXTS = np.array(["x y", "y input", "memory x"])[CLASSES]


def models():
    """Return models whose parts differ from those of scikit-learn's own instances."""
    for loss in ("log_loss", "exponential"):
        yield GradientBoostingClassifier(loss=loss, n_estimators=2).fit(ROWS, CLASSES > 0)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield GradientBoostingRegressor(loss=loss, n_estimators=2).fit(ROWS, NUMBERS)
    for loss in ("squared_error", "absolute_error", "gamma", "poisson"):
        yield HistGradientBoostingRegressor(loss=loss, max_iter=2).fit(ROWS, NUMBERS)
    yield HistGradientBoostingClassifier(max_iter=2).fit(ROWS, CLASSES)
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "huber",
                 "epsilon_insensitive", "squared_epsilon_insensitive"):  # fmt: skip
        yield SGDClassifier(loss=loss, random_state=0).fit(ROWS, CLASSES)
    for tree in ("kd_tree", "ball_tree"):
        for metric in ("euclidean", "manhattan", "chebyshev"):
            yield KNeighborsClassifier(algorithm=tree, metric=metric).fit(ROWS, CLASSES)
    for kernel in (gp.RBF() + gp.WhiteKernel(), gp.Matern() * gp.ConstantKernel(),
                   gp.DotProduct() ** 2, gp.RationalQuadratic(), gp.ExpSineSquared()):  # fmt: skip
        yield GaussianProcessRegressor(kernel, optimizer=None, alpha=100.0).fit(ROWS, NUMBERS)
    for method in ("sigmoid", "isotonic", "temperature"):
        yield CalibratedClassifierCV(LogisticRegression(), method=method).fit(ROWS, CLASSES)
    frame = pd.DataFrame(ROWS, columns=list("abcd")).assign(text=TEXTS)
    columns = ColumnTransformer(
        [("input", CountVectorizer(), "text"), ("memory", OneHotEncoder(), ["text"]),
         ("s", StandardScaler(), slice("a", "b"))]
    )  # fmt: skip
    yield make_pipeline(columns, LogisticRegression()).fit(frame, CLASSES)
    both = [("memory", RandomForestClassifier(3)), ("input", LogisticRegression())]
    yield VotingClassifier(both).fit(ROWS, CLASSES)
    yield StackingClassifier([*both, ("c", LinearSVC())]).fit(ROWS, CLASSES)
    yield make_pipeline(FunctionTransformer(np.log1p), LinearRegression()).fit(ROWS, NUMBERS)
    turned = TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1)
    yield turned.fit(ROWS, NUMBERS)
    for splits in (TimeSeriesSplit(2), RepeatedStratifiedKFold(n_splits=2, n_repeats=2)):
        yield GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=splits).fit(ROWS, CLASSES > 0)
    yield FrozenEstimator(LogisticRegression().fit(ROWS, CLASSES))
    yield make_pipeline(StandardScaler(), LogisticRegression(random_state=np.random.RandomState(0)))


def test_the_parts_of_fitted_estimators_are_read(tmp_path):
    for model in models():
        skops.io.dump(model, tmp_path / "m.skops")

        assert type(read(tmp_path / "m.skops")) is type(model)


# Planted files


def node(loader, name, **fields):
    module, _, class_ = name.rpartition(".")
    return {"__class__": class_, "__module__": module, "__loader__": loader, **fields}


def value(found):
    return node("JsonNode", "builtins.str", content=json.dumps(found), is_json=True)


def many(*nodes, loader="ListNode", name="builtins.list", **more):
    return node(loader, name, content=list(nodes), **more)


def tuple_of(*nodes):
    return many(*nodes, loader="TupleNode", name="builtins.tuple")


TEXT = node("TypeNode", "builtins.str")


def dict_of(content, *, key_type=TEXT, loader="DictNode", name="builtins.dict"):
    return node(loader, name, content=content, key_types=many(*[key_type] * len(content)))


def plant(file, extra, *, change=None, model=None, **more):
    """Save a model with one more attribute, and other bytes of its members."""
    model = LinearRegression().fit(ROWS, NUMBERS) if model is None else model
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    if extra is not None:
        schema["content"]["content"]["extra_"] = extra
        schema["content"]["key_types"]["content"].append(TEXT)
    (change or (lambda found: None))(schema)
    parts = {**parts, **more, "schema.json": json.dumps(schema).encode()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file


MAKE = node("FunctionNode", "os.mkdir")
LINEAR = "sklearn.linear_model._base.LinearRegression"


def a_partial(name, proof):
    content = {"func": MAKE, "args": tuple_of(value(proof)), "kwds": dict_of({}),
               "namespace": value(None)}  # fmt: skip
    return node("PartialNode", name, content=content)


def numpys(proof, name="numpy.ndarray"):
    return node("NdArrayNode", name, type="numpy", file="a.npy")


ATTACKS = {
    "function": lambda proof: MAKE,
    "function of old": lambda proof: node(
        "FunctionNode", "builtins.function", content={"module_path": "os", "function": "mkdir"}
    ),
    "type": lambda proof: node("TypeNode", "os.mkdir"),
    "class of scikit-learn as a value": lambda proof: node("TypeNode", LINEAR),
    "function of scikit-learn": lambda proof: node(
        "FunctionNode", "sklearn.utils.validation.check_array"
    ),
    "mean elsewhere": lambda proof: node("FunctionNode", "numpy.mean"),
    "partial": lambda proof: a_partial("functools.partial", proof),
    "partial by another name": lambda proof: a_partial(LINEAR, proof),
    "key types": lambda proof: dict_of({proof: value(1)}, key_type=MAKE),
    "key types by a partial": lambda proof: dict_of(
        {proof: value(1)}, key_type=a_partial(LINEAR, proof)
    ),
    "key types that are no list": lambda proof: {
        **dict_of({proof: value(1)}), "key_types": tuple_of(TEXT)
    },
    "factory": lambda proof: node(
        "DefaultDictNode", "collections.defaultdict",
        content={"main": dict_of({}), "default_factory": MAKE},
    ),
    "call": lambda proof: node(
        "ConstructorFromReduceNode", "os.mkdir", content=tuple_of(value(proof))
    ),
    "call by scikit-learn's name": lambda proof: node(
        "ConstructorFromReduceNode", LINEAR, content=tuple_of()
    ),
    "loss": lambda proof: node(
        "LossNode", "os.mkdir", __reduce__={"args": tuple_of(value(proof))}, content=dict_of({})
    ),
    "loss by scikit-learn's name": lambda proof: node(
        "LossNode", LINEAR, __reduce__={"args": tuple_of()}, content=dict_of({})
    ),
    "tree": lambda proof: node(
        "TreeNode", "os.mkdir", __reduce__={"args": tuple_of(value(proof))}, content=dict_of({})
    ),
    "method": lambda proof: node(
        "MethodNode", LINEAR, content={"func": "fit", "obj": node("ObjectNode", LINEAR)}
    ),
    "operator": lambda proof: node(
        "OperatorFuncNode", "operator.methodcaller", attrs=tuple_of(value("mkdir"))
    ),
    "list": lambda proof: many(value(proof), name="os.mkdir"),
    "tuple": lambda proof: many(value(proof), loader="TupleNode", name="os.mkdir"),
    "set": lambda proof: many(value(proof), loader="SetNode", name="os.mkdir"),
    "dict": lambda proof: dict_of({}, name="os.getcwd"),
    "dict by scikit-learn's name": lambda proof: dict_of({}, name=LINEAR),
    "file of numpy's": lambda proof: numpys(proof, "numpy.memmap"),
    "object of numpy's": lambda proof: node("ObjectNode", "numpy.memmap"),
    "estimator of scikit-learn's tests": lambda proof: node(
        "ObjectNode", "sklearn.tests.test_base.MyEstimator"
    ),
    "part by the name of an estimator": lambda proof: node(
        "ObjectNode", "sklearn.utils._mocking.CheckingClassifier"
    ),
    "estimator by another name": lambda proof: node(
        "ObjectNode", "sklearn.linear_model.LinearRegression"
    ),
    "function as an estimator": lambda proof: node("ObjectNode", "sklearn.base.clone"),
    "state of a dtype": lambda proof: node("ObjectNode", "numpy.dtype", content=tuple_of()),
    "state that is no dict": lambda proof: node("ObjectNode", LINEAR, content=many()),
    "scorer": lambda proof: node("ObjectNode", "sklearn.metrics._scorer._Scorer"),
    "metric of a function": lambda proof: node(
        "ObjectNode", "sklearn.metrics._dist_metrics.PyFuncDistance64", content=tuple_of()
    ),
    "random state": lambda proof: node("RandomStateNode", "os.getcwd", content=dict_of({})),
    "random generator": lambda proof: node(
        "RandomGeneratorNode", "numpy.random._generator.Generator",
        content={"bit_generator": dict_of({"bit_generator": value("seed")}),
                 "seed_seq": dict_of({})},
    ),
    "known by an id": lambda proof: node("CachedNode", LINEAR, __id__=1),
    "unknown loader": lambda proof: node("NoNode", LINEAR),
    "dict in a value": lambda proof: value({"memory": proof}),
    "dotted class": lambda proof: {**MAKE, "__module__": "sklearn", "__class__": "os.mkdir"},
    "bytes": lambda proof: node("BytesNode", "os.mkdir", file="a.npy"),
}  # fmt: skip
PLACES = {
    "attribute": lambda found: found,
    "list": lambda found: many(value(1), found),
    "array": lambda found: node(
        "NdArrayNode", "numpy.ndarray", type="json", content=[found], shape=tuple_of(value(1))
    ),
    "estimator": lambda found: node(
        "ObjectNode",
        LINEAR,
        content=dict_of({"inner_": found, "_sklearn_version": value(sklearn.__version__)}),
    ),
    "bunch": lambda found: dict_of({"a": found}, name="sklearn.utils._bunch.Bunch"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_planted_node_is_refused_wherever_it_stands(attack, tmp_path):
    proof, array = tmp_path / "proof", io.BytesIO()
    np.save(array, np.arange(3))
    parts = {"a.npy": array.getvalue()}
    for place in PLACES.values():
        plant(tmp_path / "m.skops", place(ATTACKS[attack](str(proof))), **parts)

        with pytest.raises(ModelError, match=r"^m\.skops: "):
            read(tmp_path / "m.skops")
        assert not proof.exists()

        plant(tmp_path / "m.skops", place(numpys("")), **parts)
        assert type(read(tmp_path / "m.skops")) is LinearRegression  # The place is no reason.


def test_a_field_that_a_loader_does_not_know_is_not_built(tmp_path):
    made = many(a_partial("functools.partial", str(tmp_path / "proof")))
    plant(tmp_path / "m.skops", {**value(1), "attrs": made})

    assert read(tmp_path / "m.skops").extra_ == 1
    assert not (tmp_path / "proof").exists()


def all_nodes(found):
    if isinstance(found, dict):
        yield found
    for one in found.values() if isinstance(found, dict) else found if type(found) is list else ():
        yield from all_nodes(one)


@pytest.mark.filterwarnings("ignore")  # As in a worker, which goes on.
def test_code_built_of_scikit_learns_own_parts_is_not_run(tmp_path):
    """Key types that are partials by the name of an estimator, over scorers that call by name."""
    proof = tmp_path / "proof"
    code = f"__import__('os').mkdir({str(proof)!r})"
    frozen = FrozenEstimator.__new__(FrozenEstimator)
    tags = partial(Bunch, estimator_type="regressor")
    frozen.__dict__.update(estimator=check_array, __sklearn_tags__=tags)
    target = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    inner = _Scorer(np.logical_or, 1, {}, "__setstate__")
    outer = _Scorer(inner, 1, {"y_true": 1}, "__getattr__")
    called = _Scorer(np.logical_or, 1, {}, "eval")
    model = LinearRegression().fit(ROWS, NUMBERS)
    model.extra_ = {"__builtins__": 1, code: 2}
    model.keep_ = [partial(outer, frozen, y_true=target), partial(called, target, y_true=1)]

    def rename(schema):
        for one in all_nodes(schema):
            if one.get("__loader__") == "PartialNode":
                one["__module__"], _, one["__class__"] = LINEAR.rpartition(".")
        top = schema["content"]["content"]
        top["extra_"]["key_types"]["content"] = top["keep_"]["content"]

    plant(tmp_path / "m.skops", None, model=model, change=rename)

    with pytest.raises(ModelError, match="a dict has key types that are no types"):
        read(tmp_path / "m.skops")
    assert not proof.exists()


@pytest.mark.parametrize("protocol", [0, 3, 99, True, "x", None])
def test_a_protocol_whose_loaders_are_others_is_not_read(protocol, tmp_path):
    plant(tmp_path / "m.skops", None, change=lambda schema: schema.update(protocol=protocol))

    with pytest.raises(ModelError, match="of skops is not read, only 1 and 2"):
        read(tmp_path / "m.skops")


def test_an_id_does_not_put_another_node_in_the_place_of_one(tmp_path):
    """skops takes the node that it met first: here a function, in the place of a number."""
    known = node("FunctionNode", "numpy.log1p", __id__=7)
    transformer = "sklearn.preprocessing._function_transformer.FunctionTransformer"
    attributes = {"func": known, "_sklearn_version": value(sklearn.__version__)}
    holder = node("ObjectNode", transformer, content=dict_of(attributes))
    plant(tmp_path / "m.skops", many(holder, {**value(1), "__id__": 7}))

    assert read(tmp_path / "m.skops").extra_[1] == 1


@pytest.mark.parametrize("way", ["size", "lie", "other"])
def test_a_member_that_unfolds_to_too_much_is_not_unfolded(way, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    skops.io.dump(LinearRegression().fit(ROWS, NUMBERS), tmp_path / "plain.skops")
    with zipfile.ZipFile(tmp_path / "plain.skops") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    how = zipfile.ZIP_BZIP2 if way == "other" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(tmp_path / "m.skops", "w", how) as archive:
        for name, part in parts.items():
            large = bytes(20 << 20) if name.endswith(".npy") and way != "other" else b""
            archive.writestr(name, part + large)
        sizes = [one.file_size for one in archive.infolist() if one.file_size > 1 << 20]
    for size in sizes if way == "lie" else ():  # In the directory at the end.
        data = (tmp_path / "m.skops").read_bytes()
        data = data.replace(size.to_bytes(4, "little"), (200).to_bytes(4, "little"))
        (tmp_path / "m.skops").write_bytes(data)

    tracemalloc.start()
    with pytest.raises((ModelError, zipfile.BadZipFile)):
        read(tmp_path / "m.skops")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


# The partial of histograms with categories


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (None, None),
        ("func", node("FunctionNode", "numpy.mean")),
        ("kwds", dict_of({"ensure_all_finite": value("true")})),
        ("args", tuple_of(value(1))),
        ("namespace", dict_of({})),
    ],
)
def test_one_partial_is_read_and_no_other(place, other, tmp_path):
    def change(schema):
        found = next(one for one in all_nodes(schema) if one.get("__class__") == "partial")
        if place is not None:
            found["content"][place] = other

    words = pd.Categorical(np.array(["a", "b", "c"], object)[CLASSES])
    rows = pd.DataFrame(ROWS, columns=list("wxyz")).assign(word=words)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    plant(tmp_path / "m.skops", None, model=model.fit(rows, CLASSES), change=change)

    if place is None:
        found = read(tmp_path / "m.skops").predict_proba(rows)
        np.testing.assert_array_equal(found, model.predict_proba(rows))
    else:
        with pytest.raises(ModelError, match=r"holds the type functools\.partial \(PartialNode\)"):
            read(tmp_path / "m.skops")


LINE = LinearRegression().fit(ROWS, NUMBERS)
STACK = StackingClassifier([("a", LogisticRegression())]).fit(ROWS, CLASSES)
GETTER = SelectFromModel(LogisticRegression())
ADDRESS = {"shape": (4,), "typestr": "|u1", "data": (0x400000, True), "version": 3}


@pytest.mark.parametrize(
    ("model", "name", "text"),
    [
        *((kind(), "input", way) for kind in (CountVectorizer, TfidfVectorizer, HashingVectorizer)
          for way in ("file", "filename")),
        (make_pipeline(StandardScaler(), LINE), "memory", "/tmp/cache"),
        # scikit-learn goes over what it finds: over a dict's keys, and over an ensemble's parts.
        *((STACK, "stack_method_", found)
          for found in (["fit"], {"tofile": 0}, [{"tofile": 0}], LINE, np.array(["fit"]))),
        (GETTER, "importance_getter", "__init__.__globals__"),
        # numpy reads an array from any address that __array_interface__ names.
        (LINE, "intercept_", Bunch(__array_interface__=ADDRESS)),
    ],
)  # fmt: skip
def test_an_attribute_that_scikit_learn_or_numpy_follows_is_refused(model, name, text, tmp_path):
    skops.io.dump(model, tmp_path / "m.skops")
    assert type(read(tmp_path / "m.skops")) is type(model)
    model = copy(model)
    setattr(model, name, text)
    skops.io.dump(model, tmp_path / "m.skops")

    with pytest.raises(ModelError, match=f"^m.skops: .*({name}|__array_interface__)"):
        read(tmp_path / "m.skops")


class Foreign:
    """Stands for a type that is not scikit-learn's."""

    def predict(self, rows):
        return rows


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (Foreign(), r"Foreign; only types of scikit-learn are trusted.*trust_pickle = true"),
        (make_pipeline(FunctionTransformer(np.save), LogisticRegression()), r"numpy\.save"),
    ],
)
def test_a_type_that_is_not_scikit_learns_is_refused_by_its_name(model, named, tmp_path):
    skops.io.dump(model, tmp_path / "m.skops")

    with pytest.raises(ModelError, match=named):
        load_predictor(tmp_path / "m.skops", trust_pickle=False)
