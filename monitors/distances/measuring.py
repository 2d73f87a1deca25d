"""``driftline.distance`` and ``driftline.distances``: how far two columns lie apart."""

from __future__ import annotations

from driftline.errors import InputError, UndecidedError
from driftline.monitors.distances.catalog import DISTANCES, find
from driftline.monitors.distances.distance import Distance
from driftline.monitors.distances.pair import Pair


def distance(name: str, reference: object, window: object) -> Distance:
    """Measure how far a window lies from its reference by one distance.

    Parameters
    ----------
    name
        One of docs/distances.md, such as ``wasserstein``, or of an installed package.
    reference, window
        One column each: a numpy array, a list, a column of pandas, polars or Arrow, or a
        ``ColumnProfile``, such as ``dl.profile(data).columns["age"]``.

    Raises
    ------
    InputError
        When there is no such distance, or it does not measure what the columns hold.
    UndecidedError
        When no distance exists, as of an empty column.
    """
    entry, pair = find(name), Pair.of(reference, window)
    if entry.kind is not None and pair.kind not in (entry.kind, None):
        able = [one for one, other in DISTANCES.items() if other.kind in (None, pair.kind)]
        raise InputError(
            f'distance "{name}" measures {entry.kind}, and the columns hold {pair.kind}; expected '
            f"one of {', '.join(able)}"
        )
    found = entry.measure(pair)
    if found.value is None:
        raise UndecidedError(f'distance "{name}" does not exist here: {found.note}')
    return found


def distances(reference: object, window: object) -> dict[str, Distance]:
    """Measure by all our own distances that fit two columns, by name.

    Where one does not exist its value is None, and its note says why.

    Parameters
    ----------
    reference, window
        As for `distance`.

    Raises
    ------
    InputError
        When a side is no column, or they hold different things.
    """
    pair = Pair.of(reference, window)
    return {
        name: _measured(name, pair)
        for name, entry in DISTANCES.items()
        if entry.kind in (None, pair.kind)
    }


def _measured(name: str, pair: Pair) -> Distance:
    try:
        return DISTANCES[name].measure(pair)
    except UndecidedError as error:
        return Distance(name, None, "", note=str(error))
