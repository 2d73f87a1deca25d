"""One measured distance: the plain number, and how far it can be believed."""

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
    corrected
        The value less its expectation under no change at these sizes, never below 0: subtracted
        from the value of measures like PSI, which are squares by nature, and from the square of
        the others. None where that is not known.
    p_value
        Chance of such a difference or a larger one without any change, if rows are independent; an
        upper bound of it where `note` says so; None where no law holds.
    lower, upper
        95% interval of the distance between what reference and window were drawn from, the error
        of sketches included; None where it is not known.
    unit
        Of the value: ``share``, ``nats``, ``bits``, ``sd``, ``of the column``.
    note
        Why a number is missing, or what it rests on; "" when there is nothing to say.
    """

    name: str
    value: float | None
    unit: str
    corrected: float | None = None
    p_value: float | None = None
    lower: float | None = None
    upper: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, str | float | None]:
        """Return plain JSON values."""
        return asdict(self)
