"""Media types of invocations: which form a body has, and which form the answer gets.

Labels and records come as text; invocations as arrays of numpy, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from driftline.errors import InputError
from driftline.formats.media_types import TEXT_FORMATS, TEXT_MEDIA_TYPES, TextFormat

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
    if content_type.partition(";")[0].strip().lower() == _NPY:
        return "npy"
    return text_form(content_type, _EXPECTED)


def text_form(content_type: str, expected: str = _EXPECTED_TEXT) -> TextFormat:
    """Return the form that a body of text of this Content-Type has."""
    media, _, rest = content_type.partition(";")
    form = TEXT_FORMATS.get(media.strip().lower())
    if form is None:
        shown = f'"{media.strip()[:80]}"' if media.strip() else "missing"
        raise UnsupportedMediaError(f"Content-Type is {shown}; {expected}")
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaError(
                f'Content-Type has charset "{charset[:40]}"; expected utf-8'
            )
    return form


@lru_cache(maxsize=256)
def answer_form(accept: str, asked: BodyForm) -> BodyForm:
    """Choose the form of the answer: the first best that the caller accepts.

    Any will do: as the body was, but JSON for an array.
    """
    best: BodyForm | None = None
    default: BodyForm = "json" if asked == "npy" else asked
    best_weight = 0.0
    for entry in accept.split(",") if accept.strip() else ["*/*"]:
        media, _, rest = entry.partition(";")
        form = _accepted(media.strip().lower(), default)
        weight = _weight(rest)
        if form is not None and weight > best_weight:
            best, best_weight = form, weight
    if best is None:
        raise NotAcceptableError(f'Accept is "{accept[:80]}"; {_EXPECTED}')
    return best


def _accepted(media: str, default: BodyForm) -> BodyForm | None:
    """Return the form that one entry of an Accept list asks for."""
    major, _, minor = media.partition("/")
    if minor == "*":
        if major == "*" or MEDIA_TYPES[default].startswith(f"{major}/"):
            return default
        return {"text": "csv", "application": "json"}.get(major)  # type: ignore[return-value]  # the two literals are Forms
    return "npy" if media == _NPY else TEXT_FORMATS.get(media)


def _weight(parameters: str) -> float:
    """Read the weight ``q=`` of an entry; 1 without one, 0 for one that is no number."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
