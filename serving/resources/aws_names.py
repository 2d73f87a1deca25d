"""CloudWatch's own names in the spec of an alarm: what moves here need not be written anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftline.alerts.alarms.composite import COMPOSITE_AWS_NAMES
from driftline.alerts.alarms.wire import AWS_NAMES, read_propagation
from driftline.alerts.math.query import read_dimensions
from driftline.errors import InputError
from driftline.serving.resources.specs import Kind


def own_names(kind: Kind, name: str, spec: Mapping[str, object]) -> dict[str, object]:
    """Write the fields of PutMetricAlarm and PutCompositeAlarm in snake case.

    Names of both kinds may stand side by side. Tags stay as ``tags``, AlarmName is left out.

    Raises
    ------
    InputError
        When a field stands there in both of its names, AlarmName is another one than the
        resource's, or the dimensions are neither an object nor AWS's list.
    """
    names = AWS_NAMES if kind == "Alarm" else COMPOSITE_AWS_NAMES
    found: dict[str, object] = {}
    for key, value in spec.items():
        own = names.get(key, key)
        if own in found or (own != key and own in spec):
            raise InputError(f'"{key}" and "{own}"; expected one of them')
        # Absent and null say the same, in every SDK.
        if own == key or value is not None:
            found[own] = value
    if "AlarmName" in spec and found.pop("alarm_name", name) != name:
        raise InputError(f'AlarmName {spec["AlarmName"]!r:.80}; expected "{name}", as name says')
    if found.get("dimensions") is not None and not isinstance(found["dimensions"], Mapping):
        try:
            found["dimensions"] = read_dimensions(found["dimensions"], "spec")
        except InputError as error:
            raise InputError(
                f"{error}, such as {{region: north}} or [{{Name: region, Value: north}}]"
            ) from error
    if found.get("action_configuration") is not None:
        found["action_configuration"] = read_propagation(found["action_configuration"])
    return found


def read_tags(given: object) -> object:
    """Give AWS's list of keys and values as an object; all else as it is, to be checked."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return given
    found: dict[str, object] = {}
    for one in given:
        is_pair = isinstance(one, Mapping) and set(one) == {"Key", "Value"}
        if not is_pair or not isinstance(one["Key"], str) or one["Key"] in found:
            return given
        found[one["Key"]] = one["Value"]
    return found
