"""An allow-list over every node of a skops file's schema, checked before one is built.

A node names its loader and its type. skops asks its caller about type names only; yet a PartialNode
calls a function whatever type it names, a dict calls its key types, and an attribute of
scikit-learn's may name a method or a file. So every node must be of an allowed loader and type, and
some are inspected further. All others are refused.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final
from zipfile import ZipFile

import numpy as np
from sklearn.base import BaseEstimator
from skops.io import _trusted_types

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.unpack_limit import UnpackLimit

Node = Mapping[str, Any]

# 1 and 2 differ in what they write of a numpy.random.Generator; 0 lets a function have two names.
_PROTOCOLS = (1, 2)
_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
# Parts of fitted estimators whose state is a tuple: they are written in Cython.
_WITH_TUPLES = (
    "sklearn.metrics._dist_metrics.",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
)
_FUNCTION_OF_A_USER = "sklearn.metrics._dist_metrics.PyFunc"
# By loader, prefixes of the classes of scikit-learn that fitted estimators hold, beside estimators.
# No scorer: one calls any method by name.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ObjectNode": (
        "sklearn._loss.link.",
        "sklearn._loss.loss.",
        "sklearn.calibration._",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        _PREDICTOR,
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
    "FunctionNode": {
        *_trusted_types.SCIPY_UFUNC_TYPE_NAMES,
        *_trusted_types.NUMPY_UFUNC_TYPE_NAMES,
    },
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
    "NdArrayNode": {"numpy.ndarray", *_SCALARS},
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
# By loader: where it expects another node, and of which loader.
_INNER: Final[Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]] = {
    "DTypeNode": ((("content",), "NdArrayNode"),),
    "DictNode": ((("key_types",), "ListNode"),),
    "LossNode": ((("__reduce__", "args"), "TupleNode"),),
    "MaskedArrayNode": (
        (("content", "data"), "NdArrayNode"),
        (("content", "mask"), "NdArrayNode"),
    ),
    "RandomGeneratorNode": (
        (("content", "bit_generator"), "DictNode"),
        (("content", "seed_seq"), "DictNode"),
    ),
    "RandomStateNode": ((("content",), "DictNode"),),
    "TreeNode": ((("__reduce__", "args"), "TupleNode"),),
}
_METHOD = re.compile("auto|predict|predict_proba|predict_log_proba|decision_function")
# Attributes and parameters whose texts scikit-learn follows: those that may stand there.
_TEXTS = {
    "input": (re.compile("content"), 'would have any file of the server read; set "content"'),
    "memory": (re.compile("(?!)"), "would have pickles read and written there; set none"),
    "importance_getter": (re.compile(r"[a-z]\w*(\.[a-z]\w*)*"), "leads into what is private"),
    **dict.fromkeys(
        ("chain_method", "chain_method_", "response_method", "stack_method", "stack_method_"),
        (_METHOD, "may only be a method that predicts"),
    ),
}
_BIT_GENERATORS = {"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
# Parts of scikit-learn whose public estimators are not for models.
_NO_MODELS = {"callback", "conftest", "datasets", "externals", "tests", "utils"}
# Their estimators are asked without a look at how wide the rows are.
_FORESTS = ("sklearn.ensemble._forest", "sklearn.ensemble._gb")


def without_ids(found: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema without ids: skops takes the node that had an id first for all of them."""
    if isinstance(found, dict):
        return {key: without_ids(one) for key, one in found.items() if key != "__id__"}
    return [*map(without_ids, found)] if isinstance(found, list) else found


def is_estimator(module: str, name: str) -> bool:
    """Whether a class is one of the public estimators that scikit-learn itself defines."""
    if _NO_MODELS & {*module.split(".")} or name.startswith("_"):
        return False
    found = _class_of(module, name)
    return found is not None and issubclass(found, BaseEstimator) and not inspect.isabstract(found)


def _class_of(module: str, name: str) -> type | None:
    """Return a class that a module of scikit-learn defines."""
    if module.split(".")[0] != "sklearn":
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    is_own = inspect.isclass(found) and (found.__module__, found.__name__) == (module, name)
    return found if is_own else None


def _is_allowed(loader: str, module: str, name: str) -> bool:
    if loader == "ObjectNode" and is_estimator(module, name):
        return True
    full = f"{module}.{name}"
    if full in _TYPES.get(loader, ()):
        return True
    is_part = full.startswith(_PARTS.get(loader, ())) and not full.startswith(_FUNCTION_OF_A_USER)
    return is_part and _class_of(module, name) is not None


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ModelError(f"{what}, which skops does not write")


def _loader(node: Any) -> Any:  # noqa: ANN401 - JSON
    return node.get("__loader__") if isinstance(node, dict) else None


def _name(node: Node) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


class SkopsNodes:
    """The nodes of a schema without ids.

    ``names``: the types of all nodes; ``refused``: those that are not allowed; ``known_partial``:
    the schema of the one partial that is allowed.
    """

    def __init__(self, archive: ZipFile, known_partial: Node, limit: UnpackLimit) -> None:
        self.names: set[str] = set()
        self.refused: set[str] = set()
        self._archive, self._limit = archive, limit
        self._known_partial = known_partial
        # The module and the number of features of the estimator around a node.
        self._around: tuple[str, Any] = ("", None)

    def check(self, schema: Any) -> None:  # noqa: ANN401 - JSON
        """Look at all nodes of a schema."""
        _require(_loader(schema), "its schema is no node")
        protocol = schema.get("protocol")
        if type(protocol) is not int or protocol not in _PROTOCOLS:
            raise ModelError(
                f"protocol {protocol!r} of skops is not read, only 1 and 2; save the model again "
                "by a skops that writes one of these"
            )
        self._visit(schema)

    def _visit(self, found: Any) -> None:  # noqa: ANN401 - JSON
        if isinstance(found, dict) and "__loader__" in found:
            around = self._around
            self._visit_node(found)
            self._around = around
        elif isinstance(found, dict | list):
            for one in found.values() if isinstance(found, dict) else found:
                self._visit(one)

    def _visit_node(self, node: Node) -> None:
        loader, module, name = (node.get(one) for one in ("__loader__", "__module__", "__class__"))
        if not (isinstance(loader, str) and isinstance(module, str) and isinstance(name, str)):
            raise ModelError("a node names no loader or no type, which skops does not write")
        if node == self._known_partial:
            self.names |= {"functools.partial", "sklearn.utils.validation.check_array"}
        elif not name.isidentifier() or not _is_allowed(loader, module, name):
            self.refused.add(_name(node) if loader == "ObjectNode" else f"{_name(node)} ({loader})")
        else:
            self.names.add(_name(node))
            for path, expected in _INNER.get(loader, ()):
                inner: Any = node
                for key in path:
                    inner = inner[key]
                _require(_loader(inner) == expected, f"a {loader} has a {path[-1]} of another kind")
            if (check := self._checks.get(loader)) is not None:
                check(self, node)
            for one in node.values():
                self._visit(one)

    def _json_node(self, node: Node) -> None:
        value = json.loads(node["content"])
        _require(value is None or isinstance(value, (str, int, float)), "a value is no single one")

    def _dict_node(self, node: Node) -> None:
        content, key_types = node["content"], node["key_types"]["content"]
        _require(
            all(_loader(one) == "TypeNode" for one in key_types),
            "a dict has key types that are no types",
        )
        _require(len(key_types) == len(content), "a dict has other keys than it shows")
        for key, value in content.items():
            # numpy and Python follow such attributes, __array_interface__ to any memory.
            _require(not key.startswith("__"), f'something has the attribute "{key}"')
            self._require_plain_texts(key, value)

    def _require_plain_texts(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Refuse texts that scikit-learn would follow, as parameters of parts too (a__input)."""
        name = key.rpartition("__")[2] or key
        if name not in _TEXTS:
            return
        allowed, why = _TEXTS[name]
        for text in self._texts(value, is_method=allowed is _METHOD):
            if not allowed.fullmatch(text):
                raise ModelError(f'{name} = "{text}" {why}')

    def _texts(self, node: Any, *, is_method: bool) -> Iterator[str]:  # noqa: ANN401 - JSON
        """Yield the texts in a value, and the types of what is no text, number or part."""
        loader = _loader(node)
        if loader == "MaskedArrayNode":
            yield from self._texts(node["content"]["data"], is_method=is_method)
        elif loader in {"ListNode", "TupleNode", "SetNode"} or node.get("type") == "json":
            for one in node["content"]:
                yield from self._texts(one, is_method=is_method)
        elif loader in {"JsonNode", "NdArrayNode"}:
            value = np.asarray(self._value(node))
            if value.dtype.kind in "UST":
                yield from map(str, value.ravel().tolist())
        elif is_method or loader not in {"ObjectNode", "SliceNode"}:  # Of a part of such a name.
            yield _name(node)  # Whoever goes over a dict meets its keys.

    def _slice_node(self, node: Node) -> None:
        ends = node["content"].values()
        is_plain = all(one is None or isinstance(one, (int, str)) for one in ends)
        _require(is_plain, "a slice has other ends")

    def _array_node(self, node: Node) -> None:
        if node["type"] == "json":
            return
        _require(node["type"] == "numpy", f"an array has the type {node['type']}")
        self._limit.take(self._archive.getinfo(str(node["file"])).file_size)
        with self._archive.open(str(node["file"])) as member:
            _require(member.read(6) == b"\x93NUMPY", "an array is no .npy file")
        if _name(node) != "numpy.ndarray":  # skops makes what is named of any other number.
            found = self._load(node)
            is_named = found.ndim == 0 and found.dtype.type is getattr(np, node["__class__"])
            _require(is_named, f"a {_name(node)} is another number")

    def _random_generator_node(self, node: Node) -> None:
        kind = self._attribute(node["content"]["bit_generator"], "bit_generator")
        _require(kind in _BIT_GENERATORS, "a random generator is of no kind of numpy's")

    def _object_node(self, node: Node) -> None:
        content, name = node.get("content"), _name(node)
        if name.startswith(_WITH_TUPLES):
            _require(_loader(content) == "TupleNode", f"{name} has no tuple as its state")
            return
        if content is None:
            return
        is_none = _loader(content) == "JsonNode" and content["content"] == "null"
        is_dict = _loader(content) == "DictNode" and _name(content) == "builtins.dict"
        _require(is_none or is_dict, f"{name} has no dict as its state")
        if name == _PREDICTOR:
            self._require_whole_predictor(content)
        elif not name.startswith(_PARTS["ObjectNode"]):
            width = self._attribute(content, "n_features_in_")
            module = node["__module__"]
            if module == "sklearn.tree._classes" and self._attribute(content, "tree_") is not None:
                around, expected = self._around
                _require(around not in _FORESTS or width == expected, "a tree takes other rows")
            self._around = (module, width)

    # A tree's nodes lead compiled code to others, and to columns, without another look.

    def _tree_node(self, node: Node) -> None:
        args, content = node["__reduce__"]["args"]["content"], node["content"]
        features, classes, outputs = map(self._value, args)
        nodes = self._attribute(content, "nodes")
        left, right = nodes["left_child"], nodes["right_child"]
        _require(
            features == self._around[1]
            and np.shape(classes) == (outputs,)
            and len(nodes) == self._attribute(content, "node_count"),
            "a tree is of other rows than its estimator",
        )
        self._require_downwards(left, right, nodes["feature"], left != -1)

    def _require_whole_predictor(self, content: Any) -> None:  # noqa: ANN401 - JSON
        nodes = self._attribute(content, "nodes")
        inner = nodes["is_leaf"] == 0
        self._require_downwards(nodes["left"], nodes["right"], nodes["feature_idx"], inner)
        sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
        known = len(self._attribute(content, "raw_left_cat_bitsets"))
        _require((sets < known).all(), "a tree has other categories")

    def _require_downwards(
        self, left: np.ndarray, right: np.ndarray, feature: np.ndarray, inner: np.ndarray
    ) -> None:
        indices, features = np.flatnonzero(inner), self._around[1]
        _require(
            isinstance(features, int)
            and all(
                (indices < below[indices].astype(np.int64)).all()
                and (below[indices] < len(left)).all()
                for below in (left, right)
            )
            and (feature[indices] >= 0).all()
            and (feature[indices] < features).all(),
            "a tree leads out of itself",
        )

    _checks: ClassVar[Mapping[str, Callable[[SkopsNodes, Node], None]]] = {
        "DictNode": _dict_node,
        "JsonNode": _json_node,
        "NdArrayNode": _array_node,
        "ObjectNode": _object_node,
        "RandomGeneratorNode": _random_generator_node,
        "SliceNode": _slice_node,
        "TreeNode": _tree_node,
    }

    def _attribute(self, content: Any, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return a number, a text or an array out of a DictNode."""
        found = content["content"].get(key) if _loader(content) == "DictNode" else None
        return self._value(found)

    def _value(self, node: Any) -> Any:  # noqa: ANN401 - JSON
        if _loader(node) == "JsonNode":
            return json.loads(node["content"])
        if _loader(node) == "NdArrayNode" and node["type"] == "numpy":
            found = self._load(node)
            return found if found.ndim else found.item()
        return node

    def _load(self, node: Node) -> np.ndarray:
        found: np.ndarray = np.load(
            io.BytesIO(self._archive.read(node["file"])), allow_pickle=False
        )
        return found
