"""From a declared silence to what the room of alarms knows as one."""

from __future__ import annotations

from driftline.alerts.notify.silence import Silence
from driftline.serving.resources.specs import SilenceSpec


def silence_of(name: str, owner: str | None, spec: SilenceSpec) -> Silence:
    """Give the silence of a spec; who declared it made it, unless it says otherwise.

    Raises
    ------
    SilenceError
        When a field is wrong.
    """
    found = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    found.setdefault("created_by", owner or "")
    return Silence.from_dict(name, found)
