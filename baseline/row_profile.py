"""What a baseline keeps of its reference's rows as wholes: in which order columns lie."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from driftline.baseline.column_order import ColumnOrder, OrderCounter
from driftline.errors import InputError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class RowProfile:
    """What is known of rows as wholes."""

    orders: tuple[ColumnOrder, ...] = ()

    @classmethod
    def of(cls, orders: OrderCounter) -> RowProfile | None:
        """Return what was counted; None where it says nothing, so that nothing is written."""
        return cls(orders.orders())._or_none()

    def _or_none(self) -> RowProfile | None:
        return self if self.orders else None

    def without(self, columns: Collection[str]) -> RowProfile | None:
        """Return what does not rest on some columns; None where nothing is left."""
        kept = tuple(one for one in self.orders if not {*one.pair} & {*columns})
        return RowProfile(kept)._or_none()

    def to_json(self) -> str:
        """Write it as the document rows.json."""
        found = {"format": FORMAT, "orders": [asdict(one) for one in self.orders]}
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> RowProfile:
        """Read what to_json wrote.

        Raises
        ------
        InputError
            When it is of a newer format, or damaged.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            version = found["format"]
            if version != FORMAT:
                raise InputError(
                    f"format {version}; this driftline reads {FORMAT}: upgrade driftline, or make "
                    "the baseline again"
                )
            return cls(tuple(ColumnOrder(**one) for one in found["orders"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"damaged ({error}); make the baseline again") from error
