"""skops files: data, read only when every node in them is one that is allowed (skops_nodes.py)."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from driftline.lazy_imports import late, without, without_parts_of_numpy
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.unpack_limit import UnpackLimit

# What scikit-learn and joblib look for on their way stays out; models that need it import it.
LEFT_OUT = ("cupy", "dask", "psutil", "pytest", "rich", "torch")
# What scikit-learn imports for a few functions that it calls.
LATE = ("scipy.integrate", "scipy.interpolate", "scipy.stats")
ALWAYS_ALLOWED_BYTES = 512 << 20  # Of memory.
_JSON_RATIO = 8  # Bytes of Python's objects for one of their text.


def _which_module(look_everywhere: Callable[[Any, str], str], found: Any, name: str) -> str:  # noqa: ANN401 - whatever skops meets
    if getattr(found, "__module__", None) is None:
        for one in ("scipy.special._special_ufuncs", "scipy.special._ufuncs", "numpy"):
            if getattr(sys.modules.get(one), name, None) is found:
                return one
    return look_everywhere(found, name)


@contextmanager
def _looking_for_little() -> Iterator[None]:
    """Have an import of skops look through few modules.

    It trusts all estimators, and imports the whole of scikit-learn and every installed array
    library to find them; `read` trusts the classes that a file names, one by one. Then it searches
    all modules for each array function, which would write to pages of each module: 12 MiB that
    processes share otherwise.
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
        import skops.io._audit
        import skops.io._utils

    from driftline.serving.hosting.formats.skops_nodes import SkopsNodes, without_ids

# The only partial that is trusted: that of HistGradientBoosting with categories.
_CHECK = partial(sklearn.utils.check_array, dtype=[np.float64], ensure_all_finite=False)


def read(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a skops file; refuse a node that is not allowed before anything of the file is built."""
    with ZipFile(file) as archive:
        limit = UnpackLimit("it", file.stat().st_size, ALWAYS_ALLOWED_BYTES)
        try:
            limit.take_members(archive)
            limit.take(_JSON_RATIO * archive.getinfo("schema.json").file_size)
            nodes = SkopsNodes(archive, _schema_of_partial(), limit)
            schema = without_ids(json.loads(archive.read("schema.json")))
            nodes.check(schema)
        except ModelError as error:
            raise ModelError(f"{file.name}: {error}") from error
        if nodes.refused:
            raise ModelError(
                f"{file.name} holds the types {', '.join(sorted(nodes.refused)[:10])}; only "
                "types of scikit-learn are trusted in a skops file: build the model of those, "
                "or save it with joblib and allow pickles by [serving] trust_pickle = true"
            )
        # As skops.io.load does, of the schema that was looked at.
        context = skops.io._utils.LoadContext(src=archive, protocol=schema["protocol"])
        trusted = sorted(nodes.names)
        tree = skops.io._audit.get_tree(schema, context, trusted=trusted)
        skops.io._audit.audit_tree(tree, trusted=trusted)
        return tree.construct()


@cache
def _schema_of_partial() -> Any:  # noqa: ANN401 - JSON
    with ZipFile(io.BytesIO(skops.io.dumps(_CHECK))) as archive:
        schema = without_ids(json.loads(archive.read("schema.json")))
    return {key: one for key, one in schema.items() if key not in ("protocol", "_skops_version")}


def trust_estimators() -> None:
    """Have skops trust all estimators of scikit-learn, as it does in programs that are not ours.

    For code of a trusted model that reads skops files by itself.
    """
    from skops.io import _trusted_types

    known = _trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES  # Empty, as above.
    if not known:
        names = [f"{one.__module__}.{one.__name__}" for _, one in sklearn.utils.all_estimators()]
        known.extend(name for name in names if name.startswith("sklearn."))
