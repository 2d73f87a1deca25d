"""skops files: data, read only when every type in them is trusted.

Trusted are classes of scikit-learn, the few types that skops itself trusts, those in HARMLESS, and
one function that scikit-learn makes of its own (_CHECK).
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from driftline.lazy_imports import late, without, without_parts_of_numpy
from driftline.serving.hosting.formats.model_format import ModelError

# What scikit-learn and joblib look for on their way stays out; models that need it import it.
LEFT_OUT = ("cupy", "dask", "psutil", "pytest", "rich", "torch")
# What scikit-learn imports for a few functions that it calls.
LATE = ("scipy.integrate", "scipy.interpolate", "scipy.stats")


def _which_module(look_everywhere: Callable[[Any, str], str], found: Any, name: str) -> str:  # noqa: ANN401 - whatever skops meets
    if getattr(found, "__module__", None) is None:
        for one in ("scipy.special._special_ufuncs", "scipy.special._ufuncs", "numpy"):
            if getattr(sys.modules.get(one), name, None) is found:
                return one
    return look_everywhere(found, name)


@contextmanager
def _looking_for_little() -> Iterator[None]:
    """Have an import of skops look through few modules.

    It trusts all estimators, and imports the whole of scikit-learn and whatever array library is
    installed to find them. `read` trusts the classes that a file names, one by one. Then it asks
    which of all modules holds each function of arrays: that would write to pages of each module,
    12 MiB that processes share otherwise.
    """
    all_estimators, changed = sklearn.utils.all_estimators, []

    def find_none() -> list[Any]:  # The first thing that it asks for.
        utils: Any = sys.modules["skops.io._utils"]
        changed.append((utils, utils.whichmodule))
        utils.whichmodule = partial(_which_module, utils.whichmodule)
        return []

    sklearn.utils.all_estimators = find_none
    try:
        yield
    finally:
        sklearn.utils.all_estimators = all_estimators
        for utils, which_module in changed:
            utils.whichmodule = which_module


with without(*LEFT_OUT), without_parts_of_numpy(), late(*LATE):
    import sklearn.utils

    with _looking_for_little():
        import skops.io

# What scikit-learn's own estimators (of 1.9) hold beside its classes: types of numbers
# (SimpleImputer, KBinsDiscretizer), a mean (FeatureAgglomeration), a check of arrays
# (HistGradientBoosting). Each by the one loader that reads it as what it is: others call whatever
# is named with arguments of the file's own, or set its state, and numpy.dtype takes fields beyond
# its memory that way.
HARMLESS = {
    "functools.partial": "PartialNode",
    "numpy.dtype": "DTypeNode",
    "numpy.mean": "FunctionNode",
    "sklearn.utils.validation.check_array": "FunctionNode",
}
# The only partial that is trusted: that of HistGradientBoosting with categories.
_CHECK = partial(sklearn.utils.check_array, dtype=[np.float64], ensure_all_finite=False)


def read(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a skops file that holds nothing but trusted types."""
    names = skops.io.get_untrusted_types(file=file)
    nodes = list(_nodes(_schema(file))) if HARMLESS.keys() & set(names) else []
    loaders: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes:
        loaders[_name(node)].add(str(node.get("__loader__")))
    if "functools.partial" in names and not _has_known_partials(nodes):
        loaders["functools.partial"].clear()
    foreign = [
        name for name in names if loaders[name] != {HARMLESS.get(name)} and not _is_sklearn(name)
    ]
    if foreign:
        raise ModelError(
            f"{file.name} holds the types {', '.join(sorted(foreign)[:10])}; only types of "
            "scikit-learn are trusted in a skops file: build the model of those, or save it with "
            "joblib and allow pickles by [serving] trust_pickle = true"
        )
    return skops.io.load(file, trusted=names)


def trust_estimators() -> None:
    """Have skops trust all estimators of scikit-learn, as it does in programs that are not ours.

    For code of a trusted model that reads skops files by itself.
    """
    from skops.io import _trusted_types

    known = _trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES  # Empty, as above.
    if not known:
        names = [f"{one.__module__}.{one.__name__}" for _, one in sklearn.utils.all_estimators()]
        known.extend(name for name in names if name.startswith("sklearn."))


def _has_known_partials(nodes: Sequence[dict[str, Any]]) -> bool:
    """Whether each partial of a file is _CHECK, to the letter.

    Where a node has the id of an earlier one skops takes that one, whatever stands in the node: so
    no id of theirs may stand for two things.
    """
    known = _without_ids(_schema(io.BytesIO(skops.io.dumps(_CHECK))))
    partials = [node for node in nodes if _name(node) == "functools.partial"]
    # A value of that name is an object, which no set holds.
    ids = {part.get("__id__") for node in partials for part in _nodes(node)} - {None}
    first: dict[Any, Any] = {}
    same_id = [(node["__id__"], _without_ids(node)) for node in nodes if node.get("__id__") in ids]
    return all(first.setdefault(id_, node) == node for id_, node in same_id) and all(
        known == {**known, **_without_ids(node)} for node in partials
    )


def _without_ids(found: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(found, dict):
        return {key: _without_ids(one) for key, one in found.items() if key != "__id__"}
    return [_without_ids(one) for one in found] if isinstance(found, list) else found


def _schema(file: Any) -> Any:  # noqa: ANN401 - a path or a stream; JSON
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("schema.json"))


def _nodes(found: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return all objects in a schema."""
    waiting = [found]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _name(node: Mapping[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _is_sklearn(name: str) -> bool:
    """Whether a type that skops does not list is a class that scikit-learn itself defines.

    Trees and losses of fitted models are such; functions are not trusted, nor what a module of
    scikit-learn merely imported from elsewhere.
    """
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] != "sklearn":
        return False
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        return False
    return inspect.isclass(found) and found.__module__.partition(".")[0] == "sklearn"
