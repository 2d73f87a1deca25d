"""A skops file is data: what else stands in one is refused, and never built."""

import io
import json
import tracemalloc
import zipfile
from copy import copy
from functools import partial
from pathlib import Path

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
from tests.serving.hosting.formats.archives import pack_zip, parts_of

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
    parts = parts_of(model)
    schema = json.loads(parts["schema.json"])
    if extra is not None:
        schema["content"]["content"]["extra_"] = extra
        schema["content"]["key_types"]["content"].append(TEXT)
    (change or (lambda found: None))(schema)
    return pack_zip(file, {**parts, **more, "schema.json": json.dumps(schema).encode()})


MAKE = node("FunctionNode", "os.mkdir")
LINEAR = "sklearn.linear_model._base.LinearRegression"


# What an attack makes, in the folder of the test.
PROOF = "proof"


def a_partial(name):
    content = {"func": MAKE, "args": tuple_of(value(PROOF)), "kwds": dict_of({}),
               "namespace": value(None)}  # fmt: skip
    return node("PartialNode", name, content=content)


def numpys(name="numpy.ndarray"):
    return node("NdArrayNode", name, type="numpy", file="a.npy")


def reduced(loader, name, *arguments):
    return node(loader, name, __reduce__={"args": tuple_of(*arguments)}, content=dict_of({}))


def an_object(name, **content):
    return node("ObjectNode", name, **content)


ATTACKS = {
    "function": MAKE,
    "function of old": node(
        "FunctionNode", "builtins.function", content={"module_path": "os", "function": "mkdir"}
    ),
    "type": node("TypeNode", "os.mkdir"),
    "class of scikit-learn as a value": node("TypeNode", LINEAR),
    "function of scikit-learn": node("FunctionNode", "sklearn.utils.validation.check_array"),
    "mean elsewhere": node("FunctionNode", "numpy.mean"),
    "function of numpy's": node("FunctionNode", "numpy.save"),
    "partial": a_partial("functools.partial"),
    "partial by another name": a_partial(LINEAR),
    "key types": dict_of({PROOF: value(1)}, key_type=MAKE),
    "key types by a partial": dict_of({PROOF: value(1)}, key_type=a_partial(LINEAR)),
    "key types that are no list": {**dict_of({PROOF: value(1)}), "key_types": tuple_of(TEXT)},
    "factory": node(
        "DefaultDictNode", "collections.defaultdict",
        content={"main": dict_of({}), "default_factory": MAKE},
    ),
    "call": node("ConstructorFromReduceNode", "os.mkdir", content=tuple_of(value(PROOF))),
    "call by scikit-learn's name": node("ConstructorFromReduceNode", LINEAR, content=tuple_of()),
    "loss": reduced("LossNode", "os.mkdir", value(PROOF)),
    "loss by scikit-learn's name": reduced("LossNode", LINEAR),
    "tree": reduced("TreeNode", "os.mkdir", value(PROOF)),
    "method": node("MethodNode", LINEAR, content={"func": "fit", "obj": an_object(LINEAR)}),
    "operator": node(
        "OperatorFuncNode", "operator.methodcaller", attrs=tuple_of(value("mkdir"))
    ),
    "list": many(value(PROOF), name="os.mkdir"),
    "tuple": many(value(PROOF), loader="TupleNode", name="os.mkdir"),
    "set": many(value(PROOF), loader="SetNode", name="os.mkdir"),
    "dict": dict_of({}, name="os.getcwd"),
    "dict by scikit-learn's name": dict_of({}, name=LINEAR),
    "file of numpy's": numpys("numpy.memmap"),
    "object of numpy's": an_object("numpy.memmap"),
    "estimator of scikit-learn's tests": an_object("sklearn.tests.test_base.MyEstimator"),
    "part by the name of an estimator": an_object("sklearn.utils._mocking.CheckingClassifier"),
    "estimator by another name": an_object("sklearn.linear_model.LinearRegression"),
    "function as an estimator": an_object("sklearn.base.clone"),
    "state of a dtype": an_object("numpy.dtype", content=tuple_of()),
    "state that is no dict": an_object(LINEAR, content=many()),
    "scorer": an_object("sklearn.metrics._scorer._Scorer"),
    "metric of a function": an_object(
        "sklearn.metrics._dist_metrics.PyFuncDistance64", content=tuple_of()
    ),
    "random state": node("RandomStateNode", "os.getcwd", content=dict_of({})),
    "random generator": node(
        "RandomGeneratorNode", "numpy.random._generator.Generator",
        content={"bit_generator": dict_of({"bit_generator": value("seed")}),
                 "seed_seq": dict_of({})},
    ),
    "known by an id": node("CachedNode", LINEAR, __id__=1),
    "unknown loader": node("NoNode", LINEAR),
    "dict in a value": value({"memory": PROOF}),
    "dotted class": {**MAKE, "__module__": "sklearn", "__class__": "os.mkdir"},
    "bytes": node("BytesNode", "os.mkdir", file="a.npy"),
}  # fmt: skip
PLACES = {
    "attribute": lambda found: found,
    "list": lambda found: many(value(1), found),
    "array": lambda found: node(
        "NdArrayNode", "numpy.ndarray", type="json", content=[found], shape=tuple_of(value(1))
    ),
    "estimator": lambda found: an_object(
        LINEAR, content=dict_of({"inner_": found, "_sklearn_version": value(sklearn.__version__)})
    ),
    "bunch": lambda found: dict_of({"a": found}, name="sklearn.utils._bunch.Bunch"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_planted_node_is_refused_wherever_it_stands(attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    array = io.BytesIO()
    np.save(array, np.arange(3))
    parts = {"a.npy": array.getvalue()}
    for place in PLACES.values():
        plant(tmp_path / "m.skops", place(ATTACKS[attack]), **parts)

        with pytest.raises(ModelError, match=r"^m\.skops: "):
            read(tmp_path / "m.skops")
        assert not Path(PROOF).exists()

        plant(tmp_path / "m.skops", place(numpys()), **parts)
        assert type(read(tmp_path / "m.skops")) is LinearRegression  # The place is no reason.


def test_a_field_that_a_loader_does_not_know_is_not_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = many(a_partial("functools.partial"))
    plant(tmp_path / "m.skops", {**value(1), "attrs": made})

    assert read(tmp_path / "m.skops").extra_ == 1
    assert not Path(PROOF).exists()


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
    parts = parts_of(LinearRegression().fit(ROWS, NUMBERS))
    how = zipfile.ZIP_BZIP2 if way == "other" else zipfile.ZIP_DEFLATED
    if way != "other":
        parts = {
            name: part + bytes(20 << 20) * name.endswith(".npy") for name, part in parts.items()
        }
    data = pack_zip(tmp_path / "m.skops", parts, how).read_bytes()
    for size in map(len, parts.values()) if way == "lie" else ():  # In the directory at the end.
        if size > 1 << 20:
            data = data.replace(size.to_bytes(4, "little"), (200).to_bytes(4, "little"))
    (tmp_path / "m.skops").write_bytes(data)
    del parts, data

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
