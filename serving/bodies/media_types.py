"""Media types of invocations: which form a body has, and which form the answer gets."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from driftline.errors import InputError
from driftline.formats.media_types import (
    TEXT_FORMATS,
    TEXT_MEDIA_TYPES,
    TextFormat,
    media_type,
)

BodyForm = TextFormat | Literal["npy"]
_NPY = "application/x-npy"
TEXT_TYPES = {form: types[0] for form, types in TEXT_MEDIA_TYPES.items()}
MEDIA_TYPES: dict[BodyForm, str] = dict([*TEXT_TYPES.items(), ("npy", _NPY)])

_TEXTS = "text/csv, application/json"
_EXPECTED_TEXT = f"expected {_TEXTS} or application/jsonlines"
_EXPECTED = f"expected {_TEXTS}, application/jsonlines or {_NPY}"


class UnsupportedMediaError(InputError):
    """The body is of a type that no model here reads."""


class NotAcceptableError(InputError):
    """The caller accepts only types that no model here writes."""


# Callers send the same few texts again and again; the bound keeps hostile ones from piling up.
@lru_cache(maxsize=256)
def body_form(content_type: str) -> BodyForm:
    """Return the form that the body of an invocation of this Content-Type has."""
    return "npy" if media_type(content_type) == _NPY else text_form(content_type, _EXPECTED)


def text_form(content_type: str, expected: str = _EXPECTED_TEXT) -> TextFormat:
    """Return the form that a body of text of this Content-Type has."""
    form = TEXT_FORMATS.get(media_type(content_type))
    charset = re.search(r';\s*charset\s*=\s*"?([^";\s]*)', content_type, re.I)
    if form is None:
        raise UnsupportedMediaError(f'Content-Type is "{content_type[:80]}"; {expected}')
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaError(f'Content-Type has charset "{charset[1][:40]}"; expected utf-8')
    return form


@lru_cache(maxsize=256)
def answer_form(accept: str, asked: BodyForm) -> BodyForm:
    """Choose the form that the caller accepts first; for any, the body's, but JSON for an array."""
    default: BodyForm = "json" if asked == "npy" else asked
    groups: dict[str, BodyForm] = {
        "": default, "*/*": default, "text/*": "csv",
        "application/*": "json" if default == "csv" else default,
    }  # fmt: skip
    known = {**TEXT_FORMATS, _NPY: "npy", **groups}
    for entry in accept.split(","):
        if (form := known.get(media_type(entry))) is not None:
            return form
    raise NotAcceptableError(f'Accept is "{accept[:80]}"; {_EXPECTED}')
