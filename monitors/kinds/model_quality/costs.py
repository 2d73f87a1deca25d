"""Cost of predictions: the mean over rows of the user's price of each right and wrong answer.

Prices come from constraints.json of model quality, under our own key, or from the caller.

References
----------
Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001 (cost matrix).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from driftline.errors import InputError
from driftline.formats.json.jackson import Json
from driftline.monitors.kinds.model_quality.values import Numbers

COST = "cost"
KEY = "costs"
# Of two classes: the actual class and the answer, 1 being the positive one.
CELLS = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}
EXPECTED = 'expected such as {"fp": 1, "fn": 10}, or {ACTUAL: {PREDICTED: number}}; others are 0'
# No price comes near; sums of these a double still holds.
LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Costs:
    """Prices by outcome, as "fp", or by actual and predicted class; 0 by default."""

    by_outcome: Mapping[str, float]
    by_class: Mapping[tuple[str, str], float]

    @classmethod
    def read(cls, found: object) -> Costs:
        """Read prices of constraints.json; negative ones are benefits."""
        if not isinstance(found, Mapping) or not found:
            raise InputError(f"{KEY} {found!r:.80}; {EXPECTED}")
        if all(isinstance(line, Mapping) for line in found.values()):
            pairs = {
                (str(actual), str(said)): _price(f"{actual}, {said}", price)
                for actual, line in found.items()
                for said, price in line.items()
            }
            return cls({}, pairs)
        if unknown := [name for name in found if name not in CELLS]:
            raise InputError(f'{KEY}: no outcome "{unknown[0]}"; {EXPECTED}')
        return cls({name: _price(name, price) for name, price in found.items()}, {})

    @classmethod
    def given(cls, found: object) -> Costs | None:
        """Read a caller's prices: a mapping, JSON, or a file of it; None: none."""
        return None if found is None else cls.read(_parsed(found))

    def to_document(self) -> Json:
        """Return a document for `read`."""
        if self.by_outcome:
            return dict(self.by_outcome)
        found: dict[str, dict[str, Json]] = {}
        for (actual, said), price in self.by_class.items():
            found.setdefault(actual, {})[said] = price
        return dict(found)

    def matrix(self, classes: Sequence[str]) -> Numbers:
        """Return the price by actual and predicted class, shape (classes, classes)."""
        size = len(classes)
        if not size:
            raise InputError(f"{KEY} with numbers as answers; expected classes")
        prices = np.zeros((size, size))
        if self.by_outcome and size != 2:
            raise InputError(f"{KEY} by outcome with {size} classes; {EXPECTED}")
        for name, price in self.by_outcome.items():
            prices[CELLS[name]] = price
        for (actual, said), price in self.by_class.items():
            for one in (actual, said):
                if one not in classes:
                    raise InputError(
                        f'{KEY}: no class "{one}"; expected one of {", ".join(classes[:8])}'
                    )
            prices[classes.index(actual), classes.index(said)] = price
        if prices.max(initial=0.0) == prices.min(initial=0.0):
            raise InputError(f"{KEY}: every answer costs the same; {EXPECTED}")
        return prices


def _parsed(found: object) -> object:
    """Return a caller's prices, parsed from JSON or a file."""
    if not isinstance(found, str | PathLike):
        return found
    text = fspath(found)
    try:
        if "{" not in text and not Path(text).exists():
            raise InputError(f"{KEY} {text:.80}: neither JSON nor a file; {EXPECTED}")
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise InputError(f"{KEY} {fspath(found)}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{KEY} {fspath(found):.80}: no JSON; {EXPECTED}, with names in double quotes"
        ) from error


def _price(name: str, price: object) -> float:
    if isinstance(price, bool) or not isinstance(price, int | float) or not abs(price) < LARGEST:
        raise InputError(f'{KEY}: "{name}" is {price!r:.40}; expected a number')
    return float(price)
