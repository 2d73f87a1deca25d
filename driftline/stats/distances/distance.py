"""One measured distance."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a window lies from its reference by one measure.

    Parameters
    ----------
    name
        As in the catalogue, such as ``wasserstein``.
    value
        The plain formula on what there is; None where none exists, and `note` says why.
    unit
        Of the value: ``share``, ``nats``, ``bits``, ``sd``, ``of the column``.
    note
        Why a number is missing, or what it rests on; "" when there is nothing to say.
    """

    name: str
    value: float | None
    unit: str
    note: str = ""

    def to_dict(self) -> dict[str, str | float | None]:
        """Return plain JSON values."""
        return asdict(self)
