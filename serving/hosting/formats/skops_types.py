"""What may stand in a skops file: by loader, the types that it may build, and its fields."""

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


def _each(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


_SCALARS = {f"numpy.{one.__name__}" for one in np.sctypeDict.values()}
_UFUNCS = {*_trusted_types.SCIPY_UFUNC_TYPE_NAMES, *_trusted_types.NUMPY_UFUNC_TYPE_NAMES}
# By loader and name: what is called, each only where scikit-learn (1.9) itself holds it, since
# one hands out the names of its module. The mean of FeatureAgglomeration; HistGradientBoosting's
# FunctionTransformer of a partial, and the check of arrays in that; classes of repeated splits.
IN_PARTIAL = ("func",)
IN_ONE_PLACE = {
    ("FunctionNode", "numpy.mean"): ("value", "pooling_func"),
    ("FunctionNode", "sklearn.utils.validation.check_array"): IN_PARTIAL,
    ("PartialNode", "functools.partial"): ("value", "func"),
    ("TypeNode", "sklearn.model_selection._split.KFold"): ("value", "cv"),
    ("TypeNode", "sklearn.model_selection._split.StratifiedKFold"): ("value", "cv"),
}
# Parts of fitted estimators whose state is a tuple: they are written in Cython.
_METRICS = (
    "Euclidean SEuclidean Manhattan Chebyshev Minkowski Mahalanobis Hamming Canberra BrayCurtis "
    "Jaccard Matching Dice Kulsinski RogersTanimoto RussellRao SokalMichener SokalSneath Haversine"
)
WITH_TUPLES = {
    *_each("sklearn.neighbors._kd_tree", "KDTree KDTree64 KDTree32"),
    *_each("sklearn.neighbors._ball_tree", "BallTree BallTree64 BallTree32"),
    *(
        f"sklearn.metrics._dist_metrics.{name}Distance{bits}"
        for name in _METRICS.split()
        for bits in (32, 64)
    ),
}
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
# What else fitted estimators hold of scikit-learn's own. No scorer: one calls any method by name.
PARTS = {
    *_each(
        "sklearn._loss.link",
        "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
    ),
    *_each(
        "sklearn._loss.loss",
        "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss "
        "HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss "
        "PinballLoss",
    ),
    *_each("sklearn.calibration", "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling"),
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    PREDICTOR,
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *_each(
        "sklearn.gaussian_process.kernels",
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern "
        "PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel",
    ),
    "sklearn.metrics._scorer._PassthroughScorer",
    *_each(
        "sklearn.model_selection._split",
        "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut "
        "LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit "
        "StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit "
        "_CVIterableWrapper",
    ),
    "sklearn.multiclass._ConstantPredictor",
    *_each("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer SGDOptimizer"),
    *_each("sklearn.utils._metadata_requests", "MetadataRequest MethodMetadataRequest"),
}
# By loader: the names of the types that it may build.
TYPES: Final[Mapping[str, set[str]]] = {
    "BytearrayNode": {"builtins.bytearray"},
    "BytesNode": {"builtins.bytes"},
    "DTypeNode": {"numpy.dtype"},
    "DictNode": {"builtins.dict", "sklearn.utils._bunch.Bunch"},
    "FunctionNode": _UFUNCS,
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "LossNode": {
        *_each(
            "sklearn._loss._loss",
            "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss "
            "CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError CyHalfTweedieLoss "
            "CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss",
        ),
        *_each(
            "sklearn.linear_model._sgd_fast",
            "EpsilonInsensitive Hinge ModifiedHuber SquaredEpsilonInsensitive SquaredHinge",
        ),
    },
    "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
    "NdArrayNode": {"numpy.ndarray", *_SCALARS},
    "ObjectNode": PARTS | WITH_TUPLES,
    "RandomGeneratorNode": {"numpy.random._generator.Generator"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "SetNode": {"builtins.set"},
    "SliceNode": {"builtins.slice"},
    "SparseMatrixNode": {
        *_each("scipy.sparse._csr", "csr_array csr_matrix"),
        *_each("scipy.sparse._csc", "csc_array csc_matrix"),
    },
    "TreeNode": {"sklearn.tree._tree.Tree"},
    "TupleNode": {"builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"},
    "TypeNode": {*_each("builtins", "bool bytes float int str"), *_SCALARS},
}
# Parts of scikit-learn whose public estimators are not for models.
_NO_MODELS = {"callback", "conftest", "datasets", "externals", "tests", "utils"}
# The fields that a node has, in each way in which skops writes one.
COMMON = frozenset({"__class__", "__module__", "__loader__", "__id__"})
OF_ROOT = frozenset({"protocol", "_skops_version"})
FIELDS: Final[Mapping[str, tuple[set[str], ...]]] = {
    "BytearrayNode": ({"file"},),
    "BytesNode": ({"file"},),
    "DictNode": ({"content", "key_types"},),
    "FunctionNode": (set(),),
    "JsonNode": ({"content", "is_json"},),
    "LossNode": ({"__reduce__", "content"},),
    "NdArrayNode": ({"type", "file"}, {"type", "content", "shape"}),
    "ObjectNode": ({"content"}, set()),
    "SparseMatrixNode": ({"type", "file"},),
    "TreeNode": ({"__reduce__", "content"},),
    "TypeNode": (set(),),
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
# Their estimators are asked without a look at how wide the rows are.
FORESTS = ("sklearn.ensemble._forest", "sklearn.ensemble._gb")


def is_estimator(module: str, name: str) -> bool:
    """Whether a class is one of the public estimators that scikit-learn itself defines."""
    parts = module.split(".")
    if parts[0] != "sklearn" or _NO_MODELS & {*parts} or not name.isidentifier():
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return (
        inspect.isclass(found)
        and issubclass(found, BaseEstimator)
        and (found.__module__, found.__name__) == (module, name)
        and not name.startswith("_")
        and not inspect.isabstract(found)
    )
