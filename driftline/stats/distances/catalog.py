"""The distances by name, ours and those of installed packages.

References
----------
docs/distances.md: formula, range and usual limit of each.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import entry_points

from driftline.errors import DriftlineError, InputError, NotFoundError
from driftline.stats.distances import binned, edf, proportions, transport, units
from driftline.stats.distances.curves import Curves
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.pair import Pair
from driftline.stats.distances.sample import SampleKind

GROUP = "driftline.distances"


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to measure.

    Parameters
    ----------
    kind
        What it measures; None for both.
    measure
        Gives the distance of a pair, or raises UndecidedError.
    """

    kind: SampleKind | None
    measure: Callable[[Pair], Distance]


def _on_curves(measure: Callable[[Curves], Distance]) -> Entry:
    return Entry("numbers", lambda pair: measure(pair.curves))


def _binned(name: str) -> Entry:
    return Entry(None, lambda pair: binned.measure_binned(name, pair.bins))


def _of_sides(kind: SampleKind | None, measure: Callable[..., Distance]) -> Entry:
    return Entry(kind, lambda pair: measure(pair.reference, pair.window))


# Every distance by its name.
DISTANCES: Mapping[str, Entry] = {
    "kolmogorov_smirnov": _on_curves(edf.kolmogorov_smirnov),
    "wasserstein": _on_curves(transport.wasserstein),
    "wasserstein_raw": _on_curves(transport.wasserstein_raw),
    "anderson_darling": _on_curves(edf.anderson_darling),
    "energy": _on_curves(transport.energy),
    "unit_change": _on_curves(units.unit_change),
    **{name: _binned(name) for name in binned.BINNED},
    "unseen": _of_sides("levels", proportions.unseen),
    "missing": _of_sides(None, proportions.missing),
}
# They need no values: the rows by cell, and how many hold none, are enough.
OF_COUNTS = frozenset({*binned.BINNED, "missing"})


def plugged_in() -> tuple[str, ...]:
    """Name the distances of other packages that are installed, in alphabetical order."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find(name: str) -> Entry:
    """Return a distance by its name, ours first.

    Raises
    ------
    NotFoundError
        When nobody has it, or a package's cannot be loaded.
    """
    return DISTANCES.get(name) or Entry(None, partial(_foreign, name, _load(name)))


@lru_cache(maxsize=64)
def _load(name: str) -> Callable[..., object]:
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        names = (*DISTANCES, *plugged_in())
        near = difflib.get_close_matches(name, names, n=1)
        guess = f' (did you mean "{near[0]}"?)' if near else ""
        raise NotFoundError(
            f'distance "{name}": no such distance{guess}; expected one of {", ".join(names)}, or '
            f'the entry point of a package in the group "{GROUP}"'
        )
    try:
        loaded = points[0].load()
    except Exception as error:  # It is foreign code: whatever it raises is its defect.
        raise NotFoundError(
            f'distance "{name}": {points[0].value} cannot be loaded ({type(error).__name__}: '
            f"{error}); fix or remove the package that provides it"
        ) from error
    if not callable(loaded):
        raise NotFoundError(f'distance "{name}": {points[0].value} is no function; expected one')
    return loaded  # type: ignore[no-any-return] # Checked to be callable.


def _foreign(name: str, function: Callable[..., object], pair: Pair) -> Distance:
    """Call another package's distance, which gives a number or a Distance."""
    try:
        result = function(pair.reference, pair.window)
        if not isinstance(result, Distance):
            # What is no number raises.
            result = Distance(name, float(result), "")  # type: ignore[arg-type]
    except DriftlineError:
        raise
    except Exception as error:  # It is foreign code: whatever it raises is its defect.
        raise InputError(
            f'distance "{name}" failed: {type(error).__name__}: {error}; fix or remove the '
            "package that provides it"
        ) from error
    # NaN would exceed no limit.
    if result.value is not None and not math.isfinite(result.value):
        raise InputError(
            f'distance "{name}" gave {result.value}; expected a finite number or a Distance'
        )
    return result
