"""Names that no metric has: the sentence that says so, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from driftline.errors import NotFoundError

if TYPE_CHECKING:
    from driftline.app.client.client import Client

# So many metrics are looked at for the names they have.
_LOOKED_AT = 2_000
_NEAR_MAX = 3
_ASKED_MAX = 10  # Dimensions that a list of metrics may be asked by; a put may have more.
_DAY = timedelta(days=1)
# As long as metrics are kept.
_KEPT = timedelta(days=456)


def require_metric(
    client: Client, namespace: str, name: str, dimensions: Mapping[str, str], *, now: datetime
) -> None:
    """Refuse a metric that has no datapoint, however old.

    Raises
    ------
    NotFoundError
        Naming what is like it: of the same name, of the namespace, or another namespace.
    """
    some = dict(list(dimensions.items())[:_ASKED_MAX])
    same = client.metrics(namespace=namespace, name=name, dimensions=some, limit=_LOOKED_AT)
    if any(one["dimensions"] == dict(dimensions) for one in same):
        return
    # ListMetrics leaves out what had no data for two weeks.
    end = now + _DAY
    if client.metric_statistics(
        namespace, name, end - _KEPT, end,
        period=86_400, statistics=["SampleCount"], dimensions=dimensions,
    ):  # fmt: skip
        return
    which = f'metric "{name}" of namespace "{namespace}"'
    found = client.metrics(namespace=namespace, name=name, limit=_LOOKED_AT)
    if found:
        had = f"with {_flags(dimensions)}" if dimensions else "without dimensions"
        known = {_flags(one["dimensions"]) for one in found}
        near = _nearest(_flags(dimensions), known, cutoff=0.0)
        raise NotFoundError(f"{which} {had} does not exist; expected all of its dimensions{near}")
    found = client.metrics(namespace=namespace, limit=_LOOKED_AT)
    if found:
        near = _nearest(name, {one["metric_name"] for one in found})
        raise NotFoundError(
            f"{which} does not exist; expected one of its metrics{near}: driftline metric list "
            f"{namespace} shows them"
        )
    near = _nearest(namespace, {one["namespace"] for one in client.metrics(limit=_LOOKED_AT)})
    raise NotFoundError(
        f'namespace "{namespace}" does not exist; expected one that has metrics{near}: driftline '
        "metric list shows them"
    )


def _nearest(wrong: str, known: Collection[str], *, cutoff: float = 0.5) -> str:
    by_key = {one.casefold(): one for one in sorted(known)}
    near = difflib.get_close_matches(wrong.casefold(), by_key, n=_NEAR_MAX, cutoff=cutoff)
    shown = [by_key[one] or "none" for one in near]
    return f", such as {', '.join(shown)}" if shown else ""


def _flags(dimensions: Mapping[str, str]) -> str:
    return " ".join(f"-d {key}={value}" for key, value in sorted(dimensions.items()))
