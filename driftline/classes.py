"""Classes as all layers compare them: as text, where ``1``, ``1.0`` and ``true`` are one class.

Labels come from other systems than predictions: a text file says "1.0" where the model says 1. Two
texts are the same class when they are equal or stand for the same number, unless the known classes
tell the two apart. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import takewhile

# As people write whole and decimal numbers; "007" and "1e5" are names.
NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d*)?", re.ASCII)
TRUTH = {"true": 1, "false": 0}
_DIGITS_MAX = 400
_ZEROS = re.compile(r"\.0*$")
CLOSING = " )]}'\""
SEPARATORS = "_- .:([{="


def class_text(value: object) -> str:
    """Write a class as all layers compare it: ``true``, ``1`` for 1 and 1.0, text as it is."""
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else value
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if text in ("True", "False"):  # numpy's booleans are no bool.
        return text.lower()
    if isinstance(value, int) or text.lstrip("-").isdecimal():  # Not by float: 2**53 + 1 is none.
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.0f}" if number.is_integer() else text


def number_text(text: str) -> str:
    """Write a text as the number that it may stand for: "1" for "1.0"; others as classes are."""
    with suppress(ValueError):
        return class_text(int(_ZEROS.sub("", text)))
    with suppress(ValueError):
        return class_text(float(text))
    return class_text(text)


def known_classes(texts: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return the first known class that each text stands for, else the text itself."""
    exact = set(known := tuple(known))
    by_number: dict[int | float, str] = {}
    for one in known:
        if (number := _number(one)) is not None:
            by_number.setdefault(number, one)

    def meant(text: str) -> str:
        number = None if text in exact else _number(text)
        return text if number is None else by_number.get(number, text)

    return tuple(meant(text) for text in texts)


def merged_classes(texts: Iterable[str], known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the distinct classes among texts: known ones, then others in order."""
    distinct = dict.fromkeys(texts)
    # The first spelling of a number names it.
    spelled: dict[int | float, str] = {}
    for text in (*known, *(one for one in distinct if one == _shortest(one)), *distinct):
        if (number := _number(text)) is not None:
            spelled.setdefault(number, text)
    own = (one for one in distinct if one not in known)
    found = {one if (n := _number(one)) is None else spelled[n] for one in own}
    return (*known, *class_order(found - set(known)))


def class_order(texts: Iterable[str]) -> tuple[str, ...]:
    """Sort classes: as numbers when all are numbers, else as text."""
    try:
        return tuple(sorted(set(texts := tuple(texts)), key=lambda text: (float(text), text)))
    except ValueError:
        return tuple(sorted(set(texts)))


def positive_number(classes: Sequence[str]) -> str | None:
    """Return which of two classes is the only number above 0, as 1 of 0 and 1; None for others."""
    if len(classes) != 2:
        return None
    numbers = {one: number for one in classes if (number := _number(one)) is not None}
    above = [one for one, number in numbers.items() if number > 0]
    return above[0] if len(numbers) == 2 and len(above) == 1 else None


def classes_of_columns(names: Sequence[str], classes: Sequence[str]) -> tuple[str, ...] | None:
    """Return the class of each column of probabilities; None when that cannot be told.

    Names decide when each ends with a class of its own (``probability_late``, ``late``, ``p_1``),
    or when all begin alike and what follows names all classes and more, which the data never hold.
    Else the columns are in the order of the classes, unless what follows are words: then they name
    other classes (``p_approve``, ``p_reject`` of 0 and 1).
    """
    ends = [class_of_name(name, classes) for name in names]
    named = tuple(one for one in ends if one is not None)
    if len(set(named)) == len(names):
        return named
    alike = list(takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False)))
    start = max((place + 1 for place, (s, *_) in enumerate(alike) if s in SEPARATORS), default=0)
    rest = known_classes([_bare(name[start:]) for name in names], classes)
    if start and len(set(rest)) == len(names) and set(rest) >= set(classes):
        return rest
    if start and len(set(rest)) == len(names) and any(_number(one) is None for one in rest):
        return None
    return tuple(classes) if len(classes) == len(names) else None


def class_of_name(name: str, classes: Iterable[str]) -> str | None:
    """Return the class that a column's name ends with, the longest one; None when it has none."""
    by_length = sorted(classes, key=len, reverse=True)
    return next((one for one in by_length if _ends(name, one)), None)


def _bare(name: str) -> str:
    return name.rstrip(CLOSING)


def _ends(name: str, one: str) -> bool:
    """Return whether a name ends with a class: ``p_1`` and ``p1`` for 1, not ``p_11``."""
    whole, end = _bare(name).casefold(), _bare(one).casefold()
    if not end or not whole.endswith(end):
        return False
    before, first = whole[: -len(end)][-1:], end[0]
    return not (before.isalpha() and first.isalpha()) and not (before.isdigit() and first.isdigit())


def _number(text: str) -> int | float | None:
    folded = text.strip().casefold()
    if folded in TRUTH:
        return TRUTH[folded]
    # Python counts no more than 4,300 digits; nobody's number has a tenth of them.
    if len(folded) > _DIGITS_MAX or not NUMBER.fullmatch(folded):
        return None
    whole, _, fraction = folded.partition(".")
    return float(folded) if fraction.strip("0") else int(whole)


def _shortest(text: str) -> str | None:
    number = _number(text)
    return None if number is None else class_text(number)
