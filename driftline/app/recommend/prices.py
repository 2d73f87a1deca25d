"""The user's price table, and what a measured configuration costs by it."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from driftline.app.recommend.phases import Measured
from driftline.errors import InputError
from driftline.validation import told

_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Of a core: what processes use now and then beside the model is no reason for another core.
_SPARE_CORES = 0.1


class Instance(BaseModel, extra="forbid"):
    """A machine that can be had, and its price."""

    name: str
    cores: _Amount
    memory_gib: _Amount
    per_hour: _Amount


class Prices(BaseModel, extra="forbid"):
    """A price table; ``per_gib_second``: of serverless workers, while they answer."""

    currency: str = ""
    instance: list[Instance] = []
    per_gib_second: _Amount | None = None

    @classmethod
    def read(cls, file: Path) -> Prices:
        """Read a TOML file."""
        try:
            return cls.model_validate(tomllib.loads(file.read_text("utf-8")))
        except ValidationError as error:
            raise InputError(f"{file}: {told(error.errors()[0])}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: cannot be read as a price table ({error})") from None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a configuration costs at its peak, and the cheapest machine that is large enough."""

    per_hour: float
    per_inference: float
    machine: str


def cost_of(prices: Prices, found: Measured, cores: int, memory_mb: int | None) -> Cost | None:
    """Return what a peak costs; None where the table has no price for it.

    SageMaker's formula: CostPerInference = CostPerHour / (MaxInvocations * 60).
    """
    calls = found.invocations_per_minute * 60
    if memory_mb is not None:
        if prices.per_gib_second is None:
            return None
        one = memory_mb / 1024 * found.p50_ms / 1000 * prices.per_gib_second
        return Cost(one * calls, one, "serverless")
    cores = max(cores, math.ceil(found.cpu_cores - _SPARE_CORES))
    fitting = (
        one for one in prices.instance
        if one.cores >= cores and one.memory_gib * 1024 >= found.memory_mib
    )  # fmt: skip
    cheapest = min(fitting, key=lambda one: one.per_hour, default=None)
    if cheapest is None:
        return None
    return Cost(cheapest.per_hour, cheapest.per_hour / calls, cheapest.name)
