"""How often something happened, as so many a year, with what chance allows."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """Events counted over some time."""

    count: int
    years: float  # Above 0.

    @property
    def per_year(self) -> float:
        """Events a year."""
        return self.count / self.years

    @property
    def interval(self) -> tuple[float, float]:
        """Return the exact 95% interval of events a year, as for events that come independently.

        References
        ----------
        Garwood, Biometrika 28, 1936: chi-squared quantiles over two.
        """
        tail = (1 - CONFIDENCE) / 2
        low = float(special.gammaincinv(self.count, tail)) if self.count else 0.0
        high = float(special.gammaincinv(self.count + 1, 1 - tail))
        return low / self.years, high / self.years

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        low, high = self.interval
        return {
            "count": self.count,
            "years": self.years,
            "per_year": self.per_year,
            "per_year_low": low,
            "per_year_high": high,
        }
