"""An allow-list over every node of a skops file's schema, checked before one is built.

A node names its loader and its type. skops asks its caller about type names only; yet a PartialNode
calls a function whatever type it names, a dict calls its key types, and an attribute of
scikit-learn's may name a method or a file. So every object of the schema that names a loader must
be of an allowed loader and type, and some are inspected further.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn
from zipfile import ZipFile

import numpy as np
import scipy.sparse

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.skops_types import (
    BIT_GENERATORS,
    FORESTS,
    METHOD,
    PARTS,
    PREDICTOR,
    PROTOCOLS,
    TEXTS,
    WITH_TUPLES,
    is_allowed,
)
from driftline.serving.hosting.formats.unpack_limit import UnpackLimit

Node = Mapping[str, Any]


def _refuse(what: str) -> NoReturn:
    raise ModelError(what)


def _require(condition: object, what: str) -> None:
    if not condition:
        _refuse(f"{what}, which skops does not write")


def _loader(node: Any) -> Any:  # noqa: ANN401 - JSON
    return node.get("__loader__") if isinstance(node, dict) else None


def _name(node: Node) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def without_ids(found: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema without ids: skops takes the node that had an id first for all of them."""
    if isinstance(found, dict):
        return {key: without_ids(one) for key, one in found.items() if key != "__id__"}
    return [*map(without_ids, found)] if isinstance(found, list) else found


class SkopsNodes:
    """The nodes of a schema without ids.

    ``names``: the types of all nodes; ``refused``: those that are not allowed; ``known_partial``:
    the schema of the one partial that is allowed, as ``func``.
    """

    def __init__(self, archive: ZipFile, known_partial: Node, limit: UnpackLimit) -> None:
        self.names: set[str] = set()
        self.refused: set[str] = set()
        self._archive, self._limit = archive, limit
        self._members: set[str] = set()
        self._known_partial = known_partial
        # The module and the number of features of the estimator around a node.
        self._around: tuple[str, Any] = ("", None)

    def check(self, schema: Any) -> None:  # noqa: ANN401 - JSON
        """Look at all nodes of a schema."""
        _require(isinstance(schema, dict), "its schema is no object")
        protocol = schema.get("protocol")
        if type(protocol) is not int or protocol not in PROTOCOLS:
            _refuse(
                f"protocol {protocol!r} of skops is not read, only 1 and 2; save the model again "
                "by a skops that writes one of these"
            )
        _require("__loader__" in schema, "its schema is no node")
        self._visit(schema, "")

    def _visit(self, found: Any, key: str) -> None:  # noqa: ANN401 - JSON
        if isinstance(found, list):
            for one in found:
                self._visit(one, "")
        elif isinstance(found, dict) and "__loader__" in found:
            around = self._around
            self._visit_node(found, key)
            self._around = around
        elif isinstance(found, dict):
            for key_of_one, one in found.items():
                self._visit(one, key_of_one)

    def _visit_node(self, node: Node, key: str) -> None:
        loader, module, name = (node.get(one) for one in ("__loader__", "__module__", "__class__"))
        _require(isinstance(loader, str), "a node names no loader")
        is_named = isinstance(module, str) and isinstance(name, str) and name.isidentifier()
        _require(is_named, "a node names no type")
        if key == "func" and node == self._known_partial:
            self.names |= {"functools.partial", "sklearn.utils.validation.check_array"}
        elif not is_allowed(str(loader), str(module), str(name), key):
            self.refused.add(_name(node) if loader == "ObjectNode" else f"{_name(node)} ({loader})")
        else:
            self.names.add(_name(node))
            if (check := self._checks.get(str(loader))) is not None:
                check(self, node)
            for one in node.values():
                self._visit(one, "")

    def _json_node(self, node: Node) -> None:
        value = json.loads(node["content"])
        _require(value is None or isinstance(value, (str, int, float)), "a value is no single one")

    def _dict_node(self, node: Node) -> None:
        content, key_types = node["content"], node["key_types"]
        _require(
            isinstance(content, dict)
            and _loader(key_types) == "ListNode"
            and all(_loader(one) == "TypeNode" for one in key_types["content"]),
            "a dict has key types that are no types",
        )
        _require(len(key_types["content"]) == len(content), "a dict has other keys than it shows")
        for key, value in content.items():
            # numpy and Python follow such attributes, __array_interface__ to any memory.
            _require(not key.startswith("__"), f'something has the attribute "{key}"')
            self._require_plain_texts(key, value)

    def _require_plain_texts(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Refuse texts that scikit-learn would follow, as parameters of parts too (a__input)."""
        name = key.rpartition("__")[2] or key
        if name not in TEXTS:
            return
        allowed, why = TEXTS[name]
        if allowed is METHOD and _loader(value) in {"ObjectNode", "SliceNode"}:
            _refuse(f'{name} = "{_name(value)}" {why}')
        for text in self._texts(value):
            if not allowed.fullmatch(text):
                _refuse(f'{name} = "{text}" {why}')

    def _texts(self, node: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
        loader = _loader(node)
        if loader == "MaskedArrayNode":
            yield from self._texts(node["content"]["data"])
        elif loader in {"ListNode", "TupleNode", "SetNode"} or (
            loader == "NdArrayNode" and "content" in node
        ):
            for one in node["content"]:
                yield from self._texts(one)
        elif loader in {"JsonNode", "NdArrayNode"}:
            value = np.asarray(self._value(node))
            if value.dtype.kind in "UST":
                yield from map(str, value.ravel().tolist())
        elif loader not in {"ObjectNode", "SliceNode"}:  # Of a part that has such a name.
            yield _name(node)  # Whoever goes over a dict meets its keys.

    def _slice_node(self, node: Node) -> None:
        ends = node["content"].values()
        is_plain = all(one is None or isinstance(one, (int, str)) for one in ends)
        _require(is_plain, "a slice has other ends")

    def _bytes_node(self, node: Node) -> None:
        self._take(node)

    def _array_node(self, node: Node) -> None:
        if "content" in node:
            is_of_objects = node["type"] == "json" and _name(node) == "numpy.ndarray"
            is_whole = isinstance(node["content"], list) and _loader(node["shape"]) == "TupleNode"
            _require(is_of_objects and is_whole, "an array of objects is none")
            return
        _require(node["type"] == "numpy", f"an array has the type {node['type']}")
        self._take(node)
        with self._archive.open(str(node["file"])) as member:
            _require(member.read(6) == b"\x93NUMPY", "an array is no .npy file")
        if _name(node) != "numpy.ndarray":  # skops makes what is named of any other number.
            found = np.load(io.BytesIO(self._archive.read(node["file"])), allow_pickle=False)
            is_named = found.ndim == 0 and found.dtype.type is getattr(np, node["__class__"])
            _require(is_named, f"a {_name(node)} is another number")

    def _masked_array_node(self, node: Node) -> None:
        parts = [node["content"][key] for key in ("data", "mask")]
        _require(all(_loader(one) == "NdArrayNode" for one in parts), "an array is none")

    def _dtype_node(self, node: Node) -> None:
        _require(_loader(node["content"]) == "NdArrayNode", "an array is none")

    def _sparse_matrix_node(self, node: Node) -> None:
        _require(node["type"] == "scipy", f"a sparse matrix has the type {node['type']}")
        self._take(node)
        content = io.BytesIO(self._archive.read(str(node["file"])))
        with ZipFile(content) as arrays:
            self._limit.take_members(arrays)
        content.seek(0)
        found: Any = scipy.sparse.load_npz(content)
        _require(found.format in {"csr", "csc"}, f"a sparse matrix has the format {found.format}")
        # Other indices have compiled code write beyond its memory.
        found.check_format(full_check=True)

    def _random_state_node(self, node: Node) -> None:
        _require(_loader(node["content"]) == "DictNode", "a RandomState has no state")

    def _random_generator_node(self, node: Node) -> None:
        content = node["content"]
        _require(
            all(_loader(one) == "DictNode" for one in content.values())
            and self._attribute(content["bit_generator"], "bit_generator") in BIT_GENERATORS,
            "a random generator is of no kind of numpy's",
        )

    def _object_node(self, node: Node) -> None:
        content, name = node.get("content"), _name(node)
        if name.startswith(WITH_TUPLES):
            _require(_loader(content) == "TupleNode", f"{name} has no tuple as its state")
            return
        if content is None:
            return
        is_none = _loader(content) == "JsonNode" and content["content"] == "null"
        is_dict = _loader(content) == "DictNode" and _name(content) == "builtins.dict"
        _require(is_none or is_dict, f"{name} has no dict as its state")
        if name == PREDICTOR:
            self._require_whole_predictor(content)
        elif not name.startswith(PARTS):
            width = self._attribute(content, "n_features_in_")
            module = node["__module__"]
            if module == "sklearn.tree._classes" and self._attribute(content, "tree_") is not None:
                around, expected = self._around
                _require(around not in FORESTS or width == expected, "a tree takes other rows")
            self._around = (module, width)

    def _loss_node(self, node: Node) -> None:
        args = node["__reduce__"].get("args")
        _require(_loader(args) == "TupleNode", f"a {node['__loader__']} has other arguments")

    # A tree's nodes lead compiled code to others, and to columns, without another look.

    def _tree_node(self, node: Node) -> None:
        self._loss_node(node)
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
        self._require_downwards(left, right, nodes["feature"], features, left != -1)

    def _require_whole_predictor(self, content: Any) -> None:  # noqa: ANN401 - JSON
        nodes = self._attribute(content, "nodes")
        inner = nodes["is_leaf"] == 0
        features = self._around[1]
        self._require_downwards(
            nodes["left"], nodes["right"], nodes["feature_idx"], features, inner
        )
        sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
        known = len(self._attribute(content, "raw_left_cat_bitsets"))
        _require((sets < known).all(), "a tree has other categories")

    @staticmethod
    def _require_downwards(
        left: np.ndarray,
        right: np.ndarray,
        feature: np.ndarray,
        features: object,
        inner: np.ndarray,
    ) -> None:
        indices = np.flatnonzero(inner)
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
        "BytearrayNode": _bytes_node,
        "BytesNode": _bytes_node,
        "DTypeNode": _dtype_node,
        "DictNode": _dict_node,
        "JsonNode": _json_node,
        "LossNode": _loss_node,
        "MaskedArrayNode": _masked_array_node,
        "NdArrayNode": _array_node,
        "ObjectNode": _object_node,
        "RandomGeneratorNode": _random_generator_node,
        "RandomStateNode": _random_state_node,
        "SliceNode": _slice_node,
        "SparseMatrixNode": _sparse_matrix_node,
        "TreeNode": _tree_node,
    }

    def _take(self, node: Node) -> None:
        """Count a member that skops reads once more."""
        info = self._archive.getinfo(str(node["file"]))
        if info.filename in self._members:
            self._limit.take(info.file_size)
        self._members.add(info.filename)

    def _attribute(self, content: Any, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return a number, a text or an array out of a DictNode."""
        found = content["content"].get(key) if _loader(content) == "DictNode" else None
        return self._value(found)

    def _value(self, node: Any) -> Any:  # noqa: ANN401 - JSON
        if _loader(node) == "JsonNode":
            return json.loads(node["content"])
        if _loader(node) == "NdArrayNode" and "file" in node:
            found = np.load(io.BytesIO(self._archive.read(node["file"])), allow_pickle=False)
            return found if found.ndim else found.item()
        return node
