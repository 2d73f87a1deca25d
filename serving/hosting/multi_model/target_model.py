"""Checks the header that names one model: as it becomes a path and a key, only plain names pass."""

from __future__ import annotations

import re
from pathlib import Path

from driftline.errors import InputError
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import (
    StoredModel,
    format_of,
    model_suffixes,
    require_trusted,
)

HEADER = "X-Amzn-SageMaker-Target-Model"
# SageMaker's length of the header, and what file systems allow of one name.
LONGEST, LONGEST_PART = 1024, 255
# No part begins with a dot, so neither "." and ".." nor hidden files pass; "%" does not, so nothing
# is decoded a second time further down.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+@-]*", re.ASCII)


def checked_target_model(text: str) -> str:
    """Return the name of a target model; refuse what is too long or no plain path."""
    if not text:
        raise InputError(f"{HEADER} is empty; expected the path of a model below the prefix")
    if len(text) > LONGEST:
        raise InputError(f"{HEADER} has {len(text)} characters; expected {LONGEST} at most")
    for part in text.split("/"):
        if len(part) > LONGEST_PART or _PART.fullmatch(part) is None:
            raise InputError(
                f"{HEADER} {text[:80]!a}: {part[:40]!a} is no plain name; expected a "
                "path below the prefix such as stores/17.skops, of letters, digits and _ . = + @ -"
            )
    return text


def require_servable(name: str, *, trust_pickle: bool) -> None:
    """Refuse a file whose format is unknown or not trusted, by its name."""
    found = format_of(Path(name))
    if found is None:
        expected = ", ".join(model_suffixes())
        raise ModelError(f'model "{name}": expected a file with one of the suffixes {expected}')
    require_trusted(StoredModel(Path(name), found), trust_pickle=trust_pickle)
