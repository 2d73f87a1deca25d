"""skops files, which are data: their objects are built by the loaders below, and by no others.

A file is a tree of nodes, each of which names its loader and its type. skops asks its caller about
the names of types only. Yet its PartialNode calls a function whatever type the node names, a dict
calls its key types, and an attribute of scikit-learn's may name a method or a file. So a node is
built only when this loader may build this type, and ids, by which one node stands for another, have
no meaning.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import re
from collections.abc import Callable, Mapping
from functools import partial, reduce
from operator import getitem
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import scipy.special
import sklearn.utils
from sklearn.base import BaseEstimator

from driftline.serving.hosting.formats.archive import UnpackLimit, most_unpacked
from driftline.serving.hosting.formats.model_format import ModelError

ALWAYS_ALLOWED_BYTES = 512 << 20  # Of memory.
_JSON_RATIO = 8  # Bytes of Python's objects for one of their text.
# 1 and 2 differ in what they write of a numpy.random.Generator; 0 lets a function have two names.
_PROTOCOLS = (1, 2)

Node = Mapping[str, Any]

# Parts of fitted estimators whose state is a tuple: they are written in Cython.
_NEIGHBOURS = ("sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree")
_WITH_TUPLES = ("sklearn.metrics._dist_metrics.", *_NEIGHBOURS)
_FUNCTION_OF_A_USER = "sklearn.metrics._dist_metrics.PyFunc"
# By loader, prefixes of the classes of scikit-learn that fitted estimators hold, beside estimators.
# No scorer: one calls any method by name.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ObjectNode": (
        "sklearn._loss.link.",
        "sklearn._loss.loss.",
        "sklearn.calibration._",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neural_network._stochastic_optimizers.",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        *_WITH_TUPLES,
    ),
    "LossNode": ("sklearn._loss._loss.Cy", "sklearn.linear_model._sgd_fast."),
}
_SCALARS = {f"numpy.{one.__name__}" for one in np.sctypeDict.values()}
# By loader: the names of the types that it may build.
_TYPES: Final[Mapping[str, set[str]]] = {
    "DTypeNode": {"numpy.dtype"},
    "DictNode": {"builtins.dict", "sklearn.utils._bunch.Bunch"},
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
    "NdArrayNode": {"numpy.ndarray", *_SCALARS},
    "PartialNode": {"functools.partial"},
    "RandomGeneratorNode": {"numpy.random._generator.Generator"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "SetNode": {"builtins.set"},
    "SliceNode": {"builtins.slice"},
    "TreeNode": {"sklearn.tree._tree.Tree"},
    "TupleNode": {"builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"},
    "TypeNode": {
        *(f"builtins.{one}" for one in ("bool", "bytes", "float", "int", "str")),
        *(f"sklearn.model_selection._split.{one}KFold" for one in ("", "Stratified")),
        *_SCALARS,
    },
}
# The only partial that is built: that of HistGradientBoosting with categories.
_CHECKED = ("FunctionNode", "sklearn.utils.validation", "check_array")
_CHECK = partial(sklearn.utils.check_array, dtype=[np.float64], ensure_all_finite=False)
_BIT_GENERATORS = {"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
_METHOD = re.compile("auto|predict|predict_proba|predict_log_proba|decision_function")
# Attributes whose texts scikit-learn follows: those that may stand there.
_TEXTS = {
    "input": (re.compile("content"), 'would have any file of the server read; set "content"'),
    "memory": (re.compile("(?!)"), "would have pickles read and written there; set none"),
    "importance_getter": (re.compile(r"[a-z]\w*(\.[a-z]\w*)*"), "leads into what is private"),
    **dict.fromkeys(
        ("chain_method", "chain_method_", "response_method", "stack_method", "stack_method_"),
        (_METHOD, "may only be a method that predicts"),
    ),
}
# Parts of scikit-learn whose public estimators are not for models.
_NO_MODELS = {"callback", "conftest", "datasets", "externals", "tests", "utils"}
# Their trees are asked without a look at how wide the rows are.
_FORESTS = {f"sklearn.ensemble.{one}" for one in ("_forest", "_gb", "_iforest")}


def read(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a skops file; refuse it at the first node that may not be built."""
    with ZipFile(file) as archive:
        limit = UnpackLimit("it", most_unpacked(file.stat().st_size, ALWAYS_ALLOWED_BYTES))
        try:
            return _Builder(archive, limit).model()
        except ModelError as error:
            raise ModelError(f"{file.name}: {error}") from error


def _allowed(loader: str, module: str, name: str) -> Any:  # noqa: ANN401 - a type, or a ufunc
    if loader == "FunctionNode":
        place = {"numpy": np, "scipy": scipy.special}.get(module.split(".")[0])
        found = getattr(place, name, None)
        return found if isinstance(found, np.ufunc) else None
    full = f"{module}.{name}"
    if full in _TYPES.get(loader, ()):
        return getattr(importlib.import_module(module), name)
    is_part = full.startswith(_PARTS.get(loader, ())) and not full.startswith(_FUNCTION_OF_A_USER)
    is_public = not (_NO_MODELS & {*module.split(".")} or name.startswith("_"))
    if module.split(".")[0] != "sklearn" or not (is_part or (loader == "ObjectNode" and is_public)):
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    if not inspect.isclass(found) or (found.__module__, found.__name__) != (module, name):
        return None
    is_model = issubclass(found, BaseEstimator) and not inspect.isabstract(found)
    return found if is_part or is_model else None


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ModelError(f"{what}, which skops does not write")


def _identity(node: Any) -> tuple[Any, ...]:  # noqa: ANN401 - JSON
    _require(isinstance(node, dict), "a value is no node")
    return tuple(node.get(one) for one in ("__loader__", "__module__", "__class__"))


def _refused(node: Node) -> ModelError:
    loader, module, name = _identity(node)
    return ModelError(
        f"holds the type {module}.{name}{'' if loader == 'ObjectNode' else f' ({loader})'}; only "
        "types of scikit-learn are trusted in a skops file: build the model of those, or save it "
        "with joblib and allow pickles by [serving] trust_pickle = true"
    )


class _Builder:
    def __init__(self, archive: ZipFile, limit: UnpackLimit) -> None:
        self._archive, self._limit = archive, limit

    def model(self) -> Any:  # noqa: ANN401 - foreign object
        """Return what the archive holds."""
        text = self._member("schema.json")
        self._limit.take(_JSON_RATIO * len(text))
        schema = json.loads(text)
        protocol = schema.get("protocol")
        if type(protocol) is not int or protocol not in _PROTOCOLS:
            raise ModelError(f"protocol {protocol!r} of skops is not read, only 1 and 2")
        return self.build(schema)

    def _member(self, name: str) -> bytes:
        """Read a member of the archive; no more of it than it says."""
        member = self._archive.getinfo(name)
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ModelError(f'"{name[:80]}" is compressed other than by deflate')
        self._limit.take(member.file_size)
        with self._archive.open(member) as stream:
            return stream.read(member.file_size)  # Without a size, any would be unpacked first.

    def build(self, node: Any) -> Any:  # noqa: ANN401 - JSON, a foreign object
        """Return the object of a node."""
        identity = _identity(node)
        _require(all(isinstance(one, str) for one in identity), "a node has no loader or type")
        kind = _allowed(*identity) if identity[2].isidentifier() else None
        if kind is None:
            raise _refused(node)
        return _LOADERS[identity[0]](self, node, kind)

    def build_as(self, kind: type, node: Any) -> Any:  # noqa: ANN401 - JSON, a foreign object
        """Return the object of a node, which is of exactly this type."""
        found = self.build(node)
        _require(type(found) is kind, f"a {type(found).__name__} stands for a {kind.__name__}")
        return found

    def json_node(self, node: Node, _: Any) -> Any:  # noqa: ANN401 - JSON
        value = json.loads(node["content"])
        _require(value is None or isinstance(value, (str, int, float)), "a value is no single one")
        return value

    def dict_node(self, node: Node, kind: Any) -> dict[Any, Any]:  # noqa: ANN401 - a class
        content, types = node["content"], node["key_types"]
        _require(
            all(_identity(one)[0] == "TypeNode" for one in types["content"]),
            "a dict has key types that are no types",
        )
        types = self.build_as(list, types)
        _require(len(types) == len(content), "a dict has other keys than it shows")
        # numpy and Python follow such attributes, __array_interface__ to any memory.
        for key in content:
            _require(not key.startswith("__"), f'something has the attribute "{key}"')
        found: dict[Any, Any] = kind()
        for of, (key, inner) in zip(types, content.items(), strict=True):
            found[of(key)] = self.build(inner)
        return found

    def items_node(self, node: Node, kind: Any) -> Any:  # noqa: ANN401 - a list, set or tuple
        items = [self.build(one) for one in node["content"]]
        return kind._make(items) if hasattr(kind, "_make") else kind(items)

    def array_node(self, node: Node, kind: Any) -> Any:  # noqa: ANN401 - an array or one value of it
        if node["type"] == "json":
            items = [self.build(one) for one in node["content"]]
            objects = np.empty(self.build_as(tuple, node["shape"]), dtype=object)
            for place in np.ndindex(objects.shape):
                objects[place] = reduce(getitem, place, items)
            return objects
        _require(node["type"] == "numpy", f"an array has the type {node['type']}")
        content = io.BytesIO(self._member(str(node["file"])))
        found = np.lib.format.read_array(content, allow_pickle=False)
        return found if kind is np.ndarray else found[()]

    def masked_array_node(self, node: Node, _: Any) -> np.ma.MaskedArray[Any, Any]:  # noqa: ANN401
        values, mask = (self.build(node["content"][one]) for one in ("data", "mask"))
        return np.ma.MaskedArray(values, mask)

    def slice_node(self, node: Node, _: Any) -> slice:  # noqa: ANN401
        ends = [node["content"][one] for one in ("start", "stop", "step")]
        is_plain = all(one is None or isinstance(one, (int, str)) for one in ends)
        _require(is_plain, "a slice has other ends")
        return slice(*ends)

    def random_state_node(self, node: Node, _: Any) -> np.random.RandomState:  # noqa: ANN401
        found, state = np.random.RandomState(), self.build_as(dict, node["content"])
        _require_position(state)
        found.set_state(state)
        return found

    def random_generator_node(self, node: Node, _: Any) -> np.random.Generator:  # noqa: ANN401
        parts = {name: self.build_as(dict, one) for name, one in node["content"].items()}
        state, seed = parts["bit_generator"], parts.get("seed_seq")
        kind = state.get("bit_generator")
        _require(kind in _BIT_GENERATORS, "a random generator is of no kind of numpy's")
        _require_position(state)
        found = getattr(np.random, kind)(None if seed is None else np.random.SeedSequence(**seed))
        found.state = state
        return np.random.Generator(found)

    def partial_node(self, node: Node, _: Any) -> Any:  # noqa: ANN401 - the function of scikit-learn
        content = node["content"]
        parts = {name: self.build(content[name]) for name in ("args", "kwds", "namespace")}
        is_known = parts == {"args": (), "kwds": _CHECK.keywords, "namespace": None}
        if not is_known or _identity(content["func"]) != _CHECKED:
            raise _refused(node)
        return _CHECK

    def object_node(self, node: Node, kind: Any) -> Any:  # noqa: ANN401 - foreign object
        content, found = node.get("content"), kind.__new__(kind)
        if content is None:
            return found
        state = self.build(content)
        full = f"{kind.__module__}.{kind.__name__}"
        has_tuple = full.startswith(_WITH_TUPLES)
        _require(
            type(state) is (tuple if has_tuple else dict) or (state is None and not has_tuple),
            f"a {kind.__name__} has no {'tuple' if has_tuple else 'dict'} as its state",
        )
        if full.startswith(_NEIGHBOURS):
            # Made again from its rows: its nodes would lead compiled code anywhere.
            rows, leaf_size, metric, weights = state[0], state[4], state[-2], state[-1]
            return kind(rows, leaf_size=leaf_size, metric=metric, sample_weight=weights)
        if isinstance(state, dict):
            _require_plain_texts(state)
        if state is not None:
            _set_state(found, state)
        if isinstance(found, BaseEstimator):
            _require_whole_trees(found)
        return found

    def loss_node(self, node: Node, kind: Any) -> Any:  # noqa: ANN401 - foreign object
        found = kind(*self.build_as(tuple, node["__reduce__"]["args"]))
        if state := self.build(node["content"]):
            _set_state(found, state)
        return found

    def tree_node(self, node: Node, kind: Any) -> Any:  # noqa: ANN401 - foreign object
        arguments = self.build_as(tuple, node["__reduce__"]["args"])
        state = self.build_as(dict, node["content"])
        features, classes, outputs = arguments
        nodes = state["nodes"]
        _require(
            np.shape(classes) == (outputs,) and len(nodes) == state["node_count"],
            "a tree is of other nodes than it says",
        )
        left = nodes["left_child"]
        _require_downwards(left, nodes["right_child"], nodes["feature"], left != -1, features)
        found = kind(*arguments)
        found.__setstate__(state)
        return found


_LOADERS: Final[Mapping[str, Callable[[_Builder, Node, Any], Any]]] = {
    "DTypeNode": lambda self, node, _: self.build_as(np.ndarray, node["content"]).dtype,
    "DictNode": _Builder.dict_node,
    "FunctionNode": lambda _, __, ufunc: ufunc,
    "JsonNode": _Builder.json_node,
    "ListNode": _Builder.items_node,
    "LossNode": _Builder.loss_node,
    "MaskedArrayNode": _Builder.masked_array_node,
    "NdArrayNode": _Builder.array_node,
    "ObjectNode": _Builder.object_node,
    "PartialNode": _Builder.partial_node,
    "RandomGeneratorNode": _Builder.random_generator_node,
    "RandomStateNode": _Builder.random_state_node,
    "SetNode": _Builder.items_node,
    "SliceNode": _Builder.slice_node,
    "TreeNode": _Builder.tree_node,
    "TupleNode": _Builder.items_node,
    "TypeNode": lambda _, __, kind: kind,
}


def _set_state(found: Any, state: Any) -> None:  # noqa: ANN401 - foreign objects
    if hasattr(found, "__setstate__"):
        found.__setstate__(state)
    else:
        vars(found).update(state)


def _require_position(state: Mapping[str, Any]) -> None:
    inner = state["state"]
    # numpy copies so many words of its Mersenne Twister, and of Philox keeps four numbers.
    is_whole = "pos" not in inner or (len(inner["key"]) == 624 and 0 <= inner["pos"] <= 624)
    is_inside = is_whole and 0 <= state.get("buffer_pos", 0) <= 4
    _require(is_inside, "a random generator stands beyond its numbers")


def _require_plain_texts(state: Mapping[Any, Any]) -> None:
    """Refuse attributes whose texts scikit-learn would follow, unless they are known ones."""
    for name in _TEXTS.keys() & state.keys():
        allowed, why = _TEXTS[name]
        value = state[name]
        for one in value if type(value) in (list, tuple) else [value]:
            if one is not None and not (type(one) is str and allowed.fullmatch(one)):
                shown = one if type(one) is str else type(one).__name__
                raise ModelError(f'{name} = "{shown}" {why}')


# A tree's nodes lead compiled code to others, and to columns, without another look.


def _require_whole_trees(model: Any) -> None:  # noqa: ANN401 - foreign object
    """Refuse an estimator whose trees lead out of themselves, or out of its rows."""
    module, found = type(model).__module__, vars(model)
    width = found.get("n_features_in_")
    if module == "sklearn.tree._classes" and (tree := found.get("tree_")) is not None:
        _require(tree.n_features == width, "a tree takes other rows than its estimator")
    elif module in _FORESTS and (trees := found.get("estimators_")) is not None:
        _require(isinstance(trees, list | np.ndarray), "trees are in no list")
        is_boosted = module.endswith("_gb")
        _require(
            not is_boosted or np.shape(trees)[1:] == (found.get("n_trees_per_iteration_"),),
            "a stage has other trees than its estimator",
        )
        trees = trees.ravel() if isinstance(trees, np.ndarray) else trees
        # An isolation forest may give each of its trees some columns only.
        parts = found.get("estimators_features_") or [range(width)] * len(trees)
        for tree, columns in zip(trees, parts, strict=True):
            _require(
                type(tree).__module__ == "sklearn.tree._classes"
                and vars(tree)["tree_"].n_features <= min(width, len(columns)),
                "a tree takes other rows than its forest",
            )
    for one in (one for many in found.get("_predictors") or () for one in many):
        nodes = one.nodes
        inner = nodes["is_leaf"] == 0
        _require_downwards(nodes["left"], nodes["right"], nodes["feature_idx"], inner, width)
        sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
        known = len(one.raw_left_cat_bitsets)
        _require((sets < known).all(), "a tree has other categories")
    if (bins := found.get("_bin_mapper")) is not None:
        of_columns = np.shape(bins.is_categorical_)
        _require(of_columns == (width,), "bins are of other columns than the rows")


def _require_downwards(
    left: np.ndarray, right: np.ndarray, feature: np.ndarray, inner: np.ndarray, features: object
) -> None:
    indices = np.flatnonzero(inner)
    _require(
        isinstance(features, int)
        and all(
            (indices < below[indices].astype(np.int64)).all() and (below[indices] < len(left)).all()
            for below in (left, right)
        )
        and (feature[indices] >= 0).all()
        and (feature[indices] < features).all(),
        "a tree leads out of itself",
    )
