"""What a skops file may hold: an allow-list over every node of its schema, before one is built.

A node says by which loader skops builds it, and of which type. skops asks its caller about the
names of types only; yet a PartialNode calls a function whatever type it names, a dict calls its
key types, and an attribute of scikit-learn's may name a method or a file. So each loader stands
here with the types, the fields and the children that skops itself writes for it.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn
from zipfile import ZipFile

import numpy as np
import scipy.sparse

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.skops_types import (
    BIT_GENERATORS,
    COMMON,
    FIELDS,
    FORESTS,
    IN_ONE_PLACE,
    IN_PARTIAL,
    METHOD,
    OF_ROOT,
    PARTS,
    PREDICTOR,
    PROTOCOLS,
    TEXTS,
    TYPES,
    WITH_TUPLES,
    is_estimator,
)
from driftline.serving.hosting.formats.unpack_limit import UnpackLimit

# What a node holds beside nodes, and its nodes, each with its role.
_Parts = tuple[Hashable, list[tuple[tuple[str, ...], Any]]]


def _refuse(what: str) -> NoReturn:
    raise ModelError(what)


def _require(condition: object, what: str) -> None:
    if not condition:
        _refuse(f"{what}, which skops does not write")


def _loader(node: Any) -> Any:  # noqa: ANN401 - JSON
    return node.get("__loader__") if isinstance(node, dict) else None


def _name(node: Mapping[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


class SkopsNodes:
    """The nodes of a skops file, each looked at as skops would build it.

    Where a node has the id of an earlier one, skops takes that one, whatever stands in the node.
    So both have to be equal: what is allowed in one place only could come to another otherwise.

    Attributes
    ----------
    names
        The types of all nodes.
    refused
        Those that are not allowed.
    """

    def __init__(
        self, archive: ZipFile, known_partial: Callable[[], bytes], limit: UnpackLimit
    ) -> None:
        self.names: set[str] = set()
        self.refused: set[str] = set()
        self._archive, self._limit = archive, limit
        self._members: set[str] = set()
        self._known_partial = known_partial
        self._numbers: dict[Hashable, int] = {}
        self._of_id: dict[int, int] = {}
        self._alike: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
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
        self._visit({key: one for key, one in schema.items() if key not in OF_ROOT}, ())

    def _visit(self, node: Any, role: tuple[str, ...]) -> int:  # noqa: ANN401 - JSON
        """Return a number that equal nodes have in common, whatever their ids are."""
        loader = _loader(node)
        _require(isinstance(loader, str), "a node names no loader")
        is_named = isinstance(node["__module__"], str) and isinstance(node["__class__"], str)
        _require(is_named and node["__class__"].isidentifier(), "a node names no type")
        name = _name(node)
        if not self._is_allowed(node, role):
            self.refused.add(name if loader == "ObjectNode" else f"{name} ({loader})")
            return -1
        self.names.add(name)
        fields = node.keys() - COMMON
        _require(
            any(fields == one for one in FIELDS.get(loader, ({"content"},))),
            f"a {loader} has the fields {', '.join(sorted(fields))}",
        )
        around = self._around
        plain, children = self._by_loader[loader](self, node)
        numbers = tuple(self._visit(child, part) for part, child in children)
        self._around = around
        number = self._number((loader, name, plain, numbers))
        if loader == "PartialNode" and number != self._number_of_known_partial():
            self.refused.add(name)
        self._keep(node, number)
        return number

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _keep(self, node: Mapping[str, Any], number: int) -> None:
        id_ = node.get("__id__")
        if "__id__" in node:
            _require(type(id_) is int, f"a node has the id {id_!r}")
            equal = self._of_id.setdefault(node["__id__"], number) == number
            _require(equal or self.refused, "two nodes that differ have one id")

    def _number_of_known_partial(self) -> int:
        with ZipFile(io.BytesIO(self._known_partial())) as archive:
            known = SkopsNodes(archive, self._known_partial, self._limit)
            known._numbers = self._numbers
            schema = json.loads(archive.read("schema.json"))
            plain, children = known._partial_node(schema)
            numbers = tuple(known._visit(child, part) for part, child in children)
        return self._number(("PartialNode", _name(schema), plain, numbers))

    def _is_allowed(self, node: Mapping[str, Any], role: tuple[str, ...]) -> bool:
        loader, name = node["__loader__"], _name(node)
        return (
            name in TYPES.get(loader, ())
            or IN_ONE_PLACE.get((loader, name)) == role
            or (loader == "ObjectNode" and is_estimator(node["__module__"], node["__class__"]))
        )

    # One method a loader: what it holds beside nodes, and its nodes with the role of each.

    def _json_node(self, node: Mapping[str, Any]) -> _Parts:
        value = json.loads(node["content"])
        is_one = value is None or isinstance(value, (str, int, float))
        _require(is_one and node["is_json"] is True, "a JsonNode is no single value")
        return node["content"], []

    def _list_node(self, node: Mapping[str, Any]) -> _Parts:
        _require(isinstance(node["content"], list), "a list is none")
        return "", [((), one) for one in node["content"]]

    def _dict_node(self, node: Mapping[str, Any]) -> _Parts:
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
        values = [(("value", key), one) for key, one in content.items()]
        return tuple(content), [((), key_types), *values]

    def _require_plain_texts(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Refuse texts that scikit-learn would follow, as parameters of parts too (a__input)."""
        name = key.rpartition("__")[2] or key
        if name not in TEXTS:
            return
        allowed, why = TEXTS[name]
        is_method = allowed is METHOD
        if is_method and _loader(value) in {"ObjectNode", "SliceNode"}:
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

    def _type_node(self, node: Mapping[str, Any]) -> _Parts:
        return "", []

    def _slice_node(self, node: Mapping[str, Any]) -> _Parts:
        ends = tuple(node["content"].get(end) for end in ("start", "stop", "step"))
        is_plain = all(one is None or isinstance(one, (int, str)) for one in ends)
        _require(is_plain and len(node["content"]) == 3, "a slice has other ends")
        return ends, []

    def _bytes_node(self, node: Mapping[str, Any]) -> _Parts:
        return self._member(node), []

    def _array_node(self, node: Mapping[str, Any]) -> _Parts:
        if "content" in node:
            is_of_objects = node["type"] == "json" and _name(node) == "numpy.ndarray"
            _require(
                is_of_objects
                and isinstance(node["content"], list)
                and _loader(node["shape"]) == "TupleNode",
                "an array of objects is none",
            )
            return "", [((), node["shape"]), *(((), one) for one in node["content"])]
        _require(node["type"] == "numpy", f"an array has the type {node['type']}")
        with self._archive.open(str(node["file"])) as member:
            _require(member.read(6) == b"\x93NUMPY", "an array is no .npy file")
        if _name(node) != "numpy.ndarray":  # skops makes what is named of any other number.
            found = np.load(io.BytesIO(self._archive.read(node["file"])), allow_pickle=False)
            is_named = found.ndim == 0 and found.dtype.type is getattr(np, node["__class__"])
            _require(is_named, f"a {_name(node)} is another number")
        return self._member(node), []

    def _masked_array_node(self, node: Mapping[str, Any]) -> _Parts:
        return "", self._arrays(node["content"], "data", "mask")

    def _dtype_node(self, node: Mapping[str, Any]) -> _Parts:
        return "", self._arrays(node, "content")

    def _sparse_matrix_node(self, node: Mapping[str, Any]) -> _Parts:
        _require(node["type"] == "scipy", f"a sparse matrix has the type {node['type']}")
        content = io.BytesIO(self._archive.read(str(node["file"])))
        with ZipFile(content) as arrays:
            self._limit.take_members(arrays)
        content.seek(0)
        found: Any = scipy.sparse.load_npz(content)
        _require(found.format in {"csr", "csc"}, f"a sparse matrix has the format {found.format}")
        # Other indices have compiled code write beyond its memory.
        found.check_format(full_check=True)
        return self._member(node), []

    def _random_state_node(self, node: Mapping[str, Any]) -> _Parts:
        _require(_loader(node["content"]) == "DictNode", "a RandomState has no state")
        return "", [((), node["content"])]

    def _random_generator_node(self, node: Mapping[str, Any]) -> _Parts:
        content = node["content"]
        _require(
            {"bit_generator"} <= content.keys() <= {"bit_generator", "seed_seq"}
            and all(_loader(one) == "DictNode" for one in content.values())
            and self._attribute(content["bit_generator"], "bit_generator") in BIT_GENERATORS,
            "a random generator is of no kind of numpy's",
        )
        return "", [((), one) for one in content.values()]

    def _partial_node(self, node: Mapping[str, Any]) -> _Parts:
        content = node["content"]
        _require(list(content) == ["func", "args", "kwds", "namespace"], "a partial has others")
        return "", [(IN_PARTIAL if key == "func" else (), one) for key, one in content.items()]

    def _object_node(self, node: Mapping[str, Any]) -> _Parts:
        content, name = node.get("content"), _name(node)
        if name in WITH_TUPLES:
            _require(_loader(content) == "TupleNode", f"{name} has no tuple as its state")
        elif content is None:
            return "", []
        else:
            is_none = _loader(content) == "JsonNode" and content["content"] == "null"
            is_dict = _loader(content) == "DictNode" and _name(content) == "builtins.dict"
            _require(is_none or is_dict, f"{name} has no dict as its state")
        if name == PREDICTOR:
            self._require_whole_predictor(content)
        elif name not in PARTS and name not in WITH_TUPLES:
            width = self._attribute(content, "n_features_in_")
            module = node["__module__"]
            if module == "sklearn.tree._classes" and self._attribute(content, "tree_") is not None:
                around, expected = self._around
                _require(around not in FORESTS or width == expected, "a tree takes other rows")
            self._around = (module, width)
        return "", [((), content)]

    def _loss_node(self, node: Mapping[str, Any]) -> _Parts:
        args = node["__reduce__"].get("args")
        is_whole = list(node["__reduce__"]) == ["args"] and _loader(args) == "TupleNode"
        _require(is_whole, f"a {node['__loader__']} has other arguments")
        return "", [((), args), ((), node["content"])]

    def _tree_node(self, node: Mapping[str, Any]) -> _Parts:
        parts = self._loss_node(node)
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
        return parts

    _by_loader: ClassVar[dict[str, Callable[[SkopsNodes, Mapping[str, Any]], _Parts]]] = {
        "BytearrayNode": _bytes_node,
        "BytesNode": _bytes_node,
        "DTypeNode": _dtype_node,
        "DictNode": _dict_node,
        "FunctionNode": _type_node,
        "JsonNode": _json_node,
        "ListNode": _list_node,
        "LossNode": _loss_node,
        "MaskedArrayNode": _masked_array_node,
        "NdArrayNode": _array_node,
        "ObjectNode": _object_node,
        "PartialNode": _partial_node,
        "RandomGeneratorNode": _random_generator_node,
        "RandomStateNode": _random_state_node,
        "SetNode": _list_node,
        "SliceNode": _slice_node,
        "SparseMatrixNode": _sparse_matrix_node,
        "TreeNode": _tree_node,
        "TupleNode": _list_node,
        "TypeNode": _type_node,
    }

    # A tree's nodes lead compiled code to others, and to columns, without another look.

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

    # Parts of nodes

    @staticmethod
    def _arrays(content: Mapping[str, Any], *keys: str) -> list[tuple[tuple[str, ...], Any]]:
        _require(
            all(_loader(content.get(key)) == "NdArrayNode" for key in keys), "an array is none"
        )
        return [((), content[key]) for key in keys]

    def _member(self, node: Mapping[str, Any]) -> Hashable:
        """Return the name of the first file that holds the same bytes as a node's."""
        info = self._archive.getinfo(str(node["file"]))
        if info.filename in self._members:  # skops reads it for each node.
            self._limit.take(info.file_size)
        self._members.add(info.filename)
        alike = self._alike[info.CRC, info.file_size]
        for first in alike:
            if first == info.filename or self._archive.read(first) == self._archive.read(info):
                return first
        alike.append(info.filename)
        return info.filename

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
