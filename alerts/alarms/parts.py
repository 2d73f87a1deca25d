"""The parts of a definition of an alarm, read from plain JSON values in either of their forms."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from driftline.alerts.errors import AlarmError
from driftline.alerts.math.query import MetricQuery


class Actions:
    """What definitions of all kinds share: the channels that they tell, by state."""

    __slots__ = ()
    alarm_actions: tuple[str, ...]
    ok_actions: tuple[str, ...]
    insufficient_data_actions: tuple[str, ...]

    def actions(self, state: str) -> tuple[str, ...]:
        """Name the channels to tell when the state becomes this one."""
        return {
            "ALARM": self.alarm_actions,
            "OK": self.ok_actions,
            "INSUFFICIENT_DATA": self.insufficient_data_actions,
        }[state]

    @property
    def channel_names(self) -> frozenset[str]:
        """All channels that the alarm can tell."""
        return frozenset(self.alarm_actions + self.ok_actions + self.insufficient_data_actions)


def nearest_key(wrong: str, known: Iterable[str]) -> str:
    """Return the half sentence that names the field most like a wrong one, in any case."""
    plain = {one.replace("_", ""): one for one in sorted(known)}
    given = wrong[:80].replace("_", "").casefold()
    near = difflib.get_close_matches(given, plain, n=1)
    if not near:
        return f"expected one of {', '.join(plain.values())}"
    return f'the nearest known one is "{plain[near[0]]}"'


def tells_tags(configuration: Mapping[str, object] | None) -> bool:
    """Whether ``alarm_tags_propagation`` is switched on."""
    fields = (configuration or {}).get("alarm_tags_propagation")
    return isinstance(fields, Mapping) and bool(fields["enabled"])


def propagated(
    tags: Mapping[str, str], configuration: Mapping[str, object] | None
) -> dict[str, str]:
    """Return the tags that ``alarm_tags_propagation`` lets into messages; none without it."""
    fields = (configuration or {}).get("alarm_tags_propagation")
    if not tells_tags(configuration) or not isinstance(fields, Mapping):
        return {}
    included, excluded = fields.get("included_tag_keys"), fields.get("excluded_tag_keys") or ()
    return {
        key: value
        for key, value in tags.items()
        if (included is None or key in included)
        and key not in excluded
        and not key.startswith("aws:")  # Amazon's own; they never go into messages.
    }


def read_pairs(field: str, found: object) -> dict[str, str]:
    """Read dimensions or tags: an object of texts, or CloudWatch's list of two-field objects."""
    if found is None:
        return {}
    if isinstance(found, Mapping):
        pairs = list(found.items())
    elif isinstance(found, list | tuple) and all(isinstance(entry, Mapping) for entry in found):
        lowered = [{str(key).lower(): entry[key] for key in entry} for entry in found]
        pairs = [(one.get("name", one.get("key")), one.get("value")) for one in lowered]
    else:
        raise AlarmError(f"{field} {found!r}; expected an object of texts")
    if any(not isinstance(part, str) for pair in pairs for part in pair):
        raise AlarmError(f"{field} {found!r}; expected an object of texts")
    if len({key for key, _ in pairs}) != len(pairs):
        raise AlarmError(f"a name stands twice in {field} {found!r}; expected once")
    return dict(pairs)


def read_names(field: str, found: object) -> tuple[str, ...]:
    """Read a list of texts; an error is AlarmError."""
    if found is None:
        return ()
    if not isinstance(found, list | tuple) or any(not isinstance(one, str) for one in found):
        raise AlarmError(f"{field} {found!r}; expected a list of channel names")
    return tuple(cast("Sequence[str]", found))


def read_queries(found: object) -> tuple[MetricQuery, ...]:
    """Read the queries and expressions of metric math; an error is AlarmError."""
    if found is None:
        return ()
    if not isinstance(found, list | tuple):
        raise AlarmError(f"metrics {found!r}; expected a list of queries")
    return tuple(
        one if isinstance(one, MetricQuery) else MetricQuery.from_dict(one) for one in found
    )
