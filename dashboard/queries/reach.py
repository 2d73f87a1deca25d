"""What of an installation whoever asks now may see: all of it, or what is about their endpoints.

Pages read monitors and alarms through here. For a person with endpoints all else is not there, and
is told in the words of what never was: an alarm of several metrics or of other alarms, a monitor of
tables, what became of notifications, and what a sentence might quote of others.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import AnyRecord, ListedAlarm, get_any
from driftline.alerts.alarms.known import require_alarm
from driftline.alerts.alarms.records import AlarmRecord, list_alarms
from driftline.alerts.evaluation.explain import Explanation
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition, get_definition, list_definitions

# Pages that hold nothing but what is filtered here; a new one is refused until it stands here.
PAGES = frozenset({"overview", "alarms", "alarm", "monitor", "column", "missing"})
UNTOLD = "Notifications are about all endpoints, and you are for some."
_ENDPOINTS = ("Endpoint", "EndpointName")


def is_limited() -> bool:
    """Whether who asks is for some endpoints only."""
    return CURRENT.get().endpoints is not None


def refused_page(page: str) -> str:
    """Return why a page is not for who asks; "" when it is."""
    who = CURRENT.get()
    if who.endpoints is None or page in PAGES:
        return ""
    own = ", ".join(sorted(who.endpoints))
    return f"{who.subject} is for {own} only, and this page is about all endpoints."


def is_reached(endpoint: str) -> bool:
    """Whether an endpoint is one of those that who asks is for; "" is of nobody in particular."""
    return not is_limited() or (bool(endpoint) and CURRENT.get().reaches(endpoint))


def is_shown(record: ListedAlarm) -> bool:
    """Whether an alarm is about one metric of an endpoint in reach."""
    if not is_limited():
        return True
    if not isinstance(record, AlarmRecord) or record.definition.metrics:
        return False
    dimensions = record.definition.dimensions
    named = [dimensions[name] for name in _ENDPOINTS if name in dimensions]
    return bool(named) and all(map(is_reached, named))


def alarms(connection: Connection) -> list[AlarmRecord]:
    """Return the metric alarms that who asks may see, by name."""
    return [one for one in list_alarms(connection) if is_shown(one)]


def alarm(connection: Connection, name: str) -> AnyRecord:
    """Return an alarm; NotFoundError when there is none of the name for who asks."""
    if not is_limited():
        return get_any(connection, name)
    found = next((one for one in alarms(connection) if one.name == name), None)
    if found is None:  # Not as others are told, with the names that are nearest.
        raise NotFoundError(f'alarm "{name}" does not exist among those of your endpoints')
    return found


def check_alarm(connection: Connection, name: str) -> None:
    """Refuse a name that no alarm has for who asks, also one that cannot be read."""
    if is_limited():
        alarm(connection, name)
    else:
        require_alarm(connection, name)


def monitors(connection: Connection) -> list[MonitorDefinition]:
    """Return the monitors that who asks may see, by name."""
    return [one for one in list_definitions(connection) if is_reached(one.endpoint)]


def monitor(connection: Connection, name: str) -> MonitorDefinition:
    """Return a monitor; NotFoundError when there is none of the name for who asks."""
    if not is_limited():
        return get_definition(connection, name)
    found = next((one for one in monitors(connection) if one.name == name), None)
    if found is None:
        raise NotFoundError(f'monitor "{name}" does not exist among those of your endpoints')
    return found


def told(why: Explanation) -> Explanation:
    """Return of an explanation what may be seen: its findings name metrics that are alike."""
    if not is_limited():
        return why
    return replace(why, findings=(), actions=(), actions_reason=UNTOLD)
