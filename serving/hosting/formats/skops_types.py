"""The types that each loader of a skops file may build. All others are refused."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Final

import numpy as np
from sklearn.base import BaseEstimator
from skops.io import _trusted_types

# 1 and 2 differ in what they write of a numpy.random.Generator; 0 lets a function have two names.
PROTOCOLS = (1, 2)

PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
# Parts of fitted estimators whose state is a tuple: they are written in Cython.
WITH_TUPLES = (
    "sklearn.metrics._dist_metrics.",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
)
# Prefixes of the classes of scikit-learn that fitted estimators hold, beside estimators. No scorer:
# one calls any method by name.
PARTS = (
    "sklearn._loss.link.",
    "sklearn._loss.loss.",
    "sklearn.calibration._",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    PREDICTOR,
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    *WITH_TUPLES,
)
_LOSSES = (
    "sklearn._loss._loss.Cy",
    "sklearn.linear_model._sgd_fast.EpsilonInsensitive",
    "sklearn.linear_model._sgd_fast.Hinge",
    "sklearn.linear_model._sgd_fast.ModifiedHuber",
    "sklearn.linear_model._sgd_fast.Squared",
)
_FUNCTION_OF_A_USER = "sklearn.metrics._dist_metrics.PyFunc"
_SCALARS = {f"numpy.{one.__name__}" for one in np.sctypeDict.values()}
# By loader: the names of the types that it may build.
TYPES: Final[Mapping[str, set[str]]] = {
    "BytearrayNode": {"builtins.bytearray"},
    "BytesNode": {"builtins.bytes"},
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
    "SparseMatrixNode": {
        f"scipy.sparse._{one}.{one}_{kind}"
        for one in ("csr", "csc")
        for kind in ("array", "matrix")
    },
    "TreeNode": {"sklearn.tree._tree.Tree"},
    "TupleNode": {"builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"},
    "TypeNode": {
        *(f"builtins.{one}" for one in ("bool", "bytes", "float", "int", "str")),
        *_SCALARS,
    },
}
# What is called, each only under the key where scikit-learn (1.9) itself holds it: the mean of
# FeatureAgglomeration, and the classes of repeated splits.
UNDER_ONE_KEY = {
    ("FunctionNode", "numpy.mean"): "pooling_func",
    ("TypeNode", "sklearn.model_selection._split.KFold"): "cv",
    ("TypeNode", "sklearn.model_selection._split.StratifiedKFold"): "cv",
}
METHOD = re.compile("auto|predict|predict_proba|predict_log_proba|decision_function")
_ANSWERS = "may only be a method that predicts"
# Attributes and parameters whose texts scikit-learn follows: those that may stand there.
TEXTS = {
    "input": (re.compile("content"), 'would have any file of the server read; set "content"'),
    "memory": (re.compile("(?!)"), "would have pickles read and written there; set none"),
    "importance_getter": (re.compile(r"[a-z]\w*(\.[a-z]\w*)*"), "leads into what is private"),
    **dict.fromkeys(
        ("chain_method", "chain_method_", "response_method", "stack_method", "stack_method_"),
        (METHOD, _ANSWERS),
    ),
}
BIT_GENERATORS = {"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
# Parts of scikit-learn whose public estimators are not for models.
_NO_MODELS = {"callback", "conftest", "datasets", "externals", "tests", "utils"}
# Their estimators are asked without a look at how wide the rows are.
FORESTS = ("sklearn.ensemble._forest", "sklearn.ensemble._gb")


def is_allowed(loader: str, module: str, name: str, key: str) -> bool:
    """Whether a loader may build a type, for a node that stands under a key."""
    full = f"{module}.{name}"
    if loader in {"LossNode", "ObjectNode"}:
        if loader == "ObjectNode" and is_estimator(module, name):
            return True
        is_part = full.startswith(_LOSSES if loader == "LossNode" else PARTS)
        is_safe = not full.startswith(_FUNCTION_OF_A_USER)
        return is_part and is_safe and _class_of(module, name) is not None
    return full in TYPES.get(loader, ()) or UNDER_ONE_KEY.get((loader, full)) == key


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
