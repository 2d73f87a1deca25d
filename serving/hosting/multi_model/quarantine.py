"""Which of many models are not asked for a while, since worker after worker ended over them."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger(__name__)

# A model is refused after so many losses in a row, for so long.
_LOSSES, QUARANTINE_S = 3, 60.0


class Quarantine:
    """Counts the workers that were lost over each model; lives inside one event loop."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        # How often in a row, and until when it is refused.
        self._losses: dict[str, tuple[int, float]] = {}

    def holds(self, model: str) -> bool:
        """Whether a model is not to be asked now."""
        found = self._losses.get(model)
        return found is not None and found[1] > asyncio.get_running_loop().time()

    def count_loss(self, model: str | None) -> None:
        """Count a worker that was lost over one of many models; None: over the only one."""
        if model is None:
            return
        count, until = self._losses.get(model, (0, 0.0))[0] + 1, 0.0
        if count >= _LOSSES:
            until = asyncio.get_running_loop().time() + QUARANTINE_S
            log.error("endpoint=%s model=%s event=quarantined", self._endpoint, model)
        self._losses[model] = count, until

    def forget(self, model: str | None) -> None:
        """Count anew: the model has answered."""
        if model is not None:
            self._losses.pop(model, None)


def refusal(model: str) -> str:
    """Return the sentence for who asks a model that is in quarantine."""
    return (
        f'model "{model}" ends its worker, or does not come to an end; it is not asked again for '
        f"{QUARANTINE_S:.0f} s; put a mended one below the prefix, under a new name"
    )
