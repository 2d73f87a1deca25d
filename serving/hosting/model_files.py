"""Which files hold models. Known to the server, too, which never opens one."""

from __future__ import annotations

from pathlib import Path

from driftline.errors import InputError

SKOPS_SUFFIXES = (".skops",)
PICKLE_SUFFIXES = (".joblib", ".pkl", ".pickle")
# Of xgboost, lightgbm. In a folder files of these names are more often something else.
TREE_SUFFIXES = (".ubj", ".json", ".txt")
MODEL_SUFFIXES = SKOPS_SUFFIXES + PICKLE_SUFFIXES + TREE_SUFFIXES


class ModelError(InputError):
    """A model file cannot be served."""


def is_pickle(file: Path) -> bool:
    """Whether reading a file of this name runs what is in it."""
    return file.suffix.lower() in PICKLE_SUFFIXES


def require_trusted(file: Path, *, trust_pickle: bool) -> None:
    """Refuse a pickle where pickles are not allowed."""
    if is_pickle(file) and not trust_pickle:
        raise ModelError(
            f"{file.name} is a pickle, which can run any code when it is read; save the model "
            "with skops, or allow pickles by [serving] trust_pickle = true"
        )


def model_file(path: Path) -> Path:
    """Find the model file: the path itself, or the only one of a known format in the folder."""
    expected = ", ".join(MODEL_SUFFIXES)
    if path.is_dir():
        files = sorted(path.iterdir())
        found = [file for file in files if file.suffix.lower() in MODEL_SUFFIXES[:-2]]
        found = found or [file for file in files if file.suffix.lower() in MODEL_SUFFIXES]
        if len(found) != 1:
            named = ", ".join(file.name for file in found) or "none"
            raise ModelError(
                f"folder {path} holds {len(found)} model files ({named}); "
                f"expected one with suffix {expected}"
            )
        return found[0]
    if not path.is_file():
        raise ModelError(f"model {path}: no such file")
    if path.suffix.lower() not in MODEL_SUFFIXES:
        raise ModelError(f'model {path}: suffix "{path.suffix}"; expected one of {expected}')
    return path
