"""Who gets paged: whom the alarms of each owner and severity notify when they fire."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from driftline.alerts.notify.channels import channels_of
from driftline.alerts.tables import alarms, links


@dataclass(slots=True)
class PagingLine:
    """Whom the alarms of one owner and severity notify when they fire.

    ``channels`` count the alarms that each is told of; ``named`` are those of all of them.
    ``unheard`` ones tell nobody: they name no channel that takes notifications, or their actions
    are switched off; ``example`` is one of them. ``carried`` ones tell nobody either, but a
    composite alarm follows them.
    """

    owner: str
    severity: str
    alarm_count: int = 0
    channels: Counter[str] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)
    unheard: int = 0
    carried: int = 0
    example: str = ""


def paging_lines(connection: Connection, working: Collection[str]) -> list[PagingLine]:
    """Return who is notified by owner and severity, pages to nobody first.

    ``working`` are the channels that take notifications.
    """
    definition, is_child = alarms.c.definition, links.c.child == alarms.c.name
    told = select(
        alarms.c.name,
        alarms.c.severity,
        func.coalesce(definition["owner"].as_string(), "").label("owner"),
        definition["alarm_actions"].as_string().label("actions"),
        definition["actions_enabled"].as_boolean().label("is_on"),
        select(links.c.child).where(is_child, links.c.role == "child").exists().label("is_carried"),
    ).subquery()
    alike = told.c["owner", "severity", "actions", "is_on", "is_carried"]
    query = select(*alike, func.count().label("several"), func.min(told.c.name).label("example"))
    lines: dict[tuple[str, str], PagingLine] = {}
    for row in connection.execute(query.group_by(*alike)):
        key = row.owner, row.severity
        line, names = lines.setdefault(key, PagingLine(*key)), _names(row.actions)
        line.alarm_count += row.several
        line.named |= names
        line.channels.update(dict.fromkeys(names if row.is_on else (), row.several))
        if not row.is_on or names.isdisjoint(working):
            line.carried += row.several if row.is_carried else 0
            line.unheard += 0 if row.is_carried else row.several
            line.example = line.example if row.is_carried else row.example
    return sorted(
        lines.values(),
        key=lambda one: (not one.unheard, one.severity != "page", one.owner, one.severity),
    )


def _names(actions: str | None) -> set[str]:
    """Return the channels of a stored list; a newer version may have stored something else."""
    try:
        return channels_of({"alarm_actions": json.loads(actions or "[]")})
    except ValueError:
        return set()
