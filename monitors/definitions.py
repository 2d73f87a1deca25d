"""Definitions of monitors, stored with versions."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import NoReturn, TypeVar

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from driftline.errors import ConflictError, InputError, NotFoundError
from driftline.monitors.external.source import ExternalSource
from driftline.monitors.kind import (
    COMMAND,
    DEFAULT_KIND,
    KINDS,
    Kind,
    find_kind,
    kind_named,
    kind_names,
)
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.schedule import UTC_NAME, Schedule
from driftline.monitors.tables import (
    REQUESTED,
    SCHEDULED,
    annotations_table,
    causes,
    definitions,
    positions,
    window_counts,
    windows,
)

log = logging.getLogger(__name__)

Read = TypeVar("Read")

DEFAULT_SCHEDULE = "cron(0 0 ? * * *)"
# A year: a window that waits for longer is judged too late to be of use.
LONGEST_DELAY_S = 366 * 86_400
CATCH_UP = ("all", "last")
# SageMaker's limit of MaxRuntimeInSeconds, and what it is where none is given.
LONGEST_RUN_S = 86_400
HIGHEST_PRIORITY = 1000
# SageMaker's limits of ContainerArguments.
MOST_WORDS, LONGEST_WORD = 50, 256
NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}\Z")

# Lists in the database, tuples here.
LISTS = ("rules", "segments", "command")
# Who takes the marks of a removed monitor back.
REMOVAL = "removal of the monitor"

# What a change of makes it another question, so that windows are judged anew.
JUDGING = (
    "kind", "endpoint", "source", "baseline", "baseline_version", "schedule", "time_zone",
    "false_alarms_per_year", "compat", "rules", "segments",
    "preprocess", "postprocess", "command", "variant", "target_model",
)  # fmt: skip


class DefinitionError(InputError):
    """A field of a monitor's definition is wrong."""


@dataclass(frozen=True, slots=True)
class MonitorDefinition:
    """One monitor, as declared."""

    name: str  # Unique ignoring case.
    endpoint: str  # Empty where the source is a table.
    baseline: str
    baseline_version: str | None = None  # None: the newest at each run.
    baseline_pinned: bool = False  # Whether it stays at this version when another is promoted.
    kind: str = DEFAULT_KIND
    # ``cron(...)``, ``rate(...)``, "external", or "NOW" for one run over the window up to now.
    schedule: str = DEFAULT_SCHEDULE
    time_zone: str = UTC_NAME  # Whose clock a cron expression is read by.
    # Drift violations accepted on data that do not change; above 0.
    false_alarms_per_year: float = 1.0
    # First moment that is judged; None: the schedule's last firing before it was made.
    start: datetime | None = None
    delay_s: float = 0.0  # Wait after a window's end for late records.
    # Which of the windows that wait when a scheduler looks are run: "all" or "last".
    catch_up: str = "all"
    timeout_s: float = 86_400.0  # A window that takes longer has failed.
    priority: int = 0  # Among windows that are due, the higher first.
    compat: bool = False
    rules: tuple[Mapping[str, object], ...] = ()  # Plain JSON values (docs/rules.md).
    segments: tuple[str, ...] | None = None  # None: those of the baseline.
    # Names of scripts in the installation's folder (docs/scripts-and-segments.md).
    preprocess: str | None = None
    postprocess: str | None = None
    # A program of the installation's folder, and its arguments (docs/your-own-monitor.md).
    command: tuple[str, ...] | None = None
    # A table that others write, as plain JSON values (docs/sources.md).
    source: Mapping[str, object] | None = None
    variant: str | None = None  # Of the endpoint: whose answers are judged; None: all of them.
    target_model: str | None = None  # Of many models behind the endpoint: the one that is judged.
    output: str | None = None  # A place where the documents of each run are written, too.
    labels: str | None = None  # A place of ground truth files that are loaded before a run.
    paused: bool = False  # Then schedulers run only the windows that somebody asks for.
    owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    # Set by `put_definition`; counts the changes after which windows are judged anew.
    version: int = 1

    def __post_init__(self) -> None:
        # Other packages are looked through only for what the table does not have.
        if self.kind not in KINDS and self.kind not in kind_names():
            self._refuse(f'kind "{self.kind}"; expected one of {", ".join(kind_names())}')
        faults = *self._faults(), *self._faults_of_kind(), *self._faults_of_source()
        for is_wrong, words in faults:
            if is_wrong:
                self._refuse(words)
        try:
            _ = self.external
        except InputError as error:
            self._refuse(str(error))
        # A wrong expression is an error here, not at the first run.
        _ = self.timetable

    def _refuse(self, words: str) -> NoReturn:
        raise DefinitionError(f'monitor "{self.name}": {words}')

    def _faults(self) -> tuple[tuple[bool, str], ...]:
        """Return what may be wrong with single fields."""
        return (
            (
                not NAME.match(self.name),
                "expected a name of letters, digits and hyphens, at most 63, that starts and ends "
                "with a letter or digit",
            ),
            (
                not 0 < self.false_alarms_per_year < math.inf,
                f"false_alarms_per_year {self.false_alarms_per_year}; expected a number above 0, "
                "such as 1.0",
            ),
            (
                not 0 <= self.delay_s <= LONGEST_DELAY_S,
                f"delay_s {self.delay_s}; expected 0 to {LONGEST_DELAY_S:,} seconds",
            ),
            (
                self.catch_up not in CATCH_UP,
                f'catch_up "{self.catch_up}"; expected one of {", ".join(CATCH_UP)}',
            ),
            (
                not 0 < self.timeout_s <= LONGEST_RUN_S,
                f"timeout_s {self.timeout_s}; expected more than 0 and at most {LONGEST_RUN_S:,} "
                "seconds",
            ),
            (
                abs(self.priority) > HIGHEST_PRIORITY,
                f"priority {self.priority}; expected -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}",
            ),
            (
                self.start is not None and self.start.tzinfo is None,
                f"start {self.start} has no time zone; expected one such as 2026-01-01T00:00:00Z",
            ),
        )

    def _faults_of_kind(self) -> tuple[tuple[bool, str], ...]:
        """Return what may be wrong with fields of some kinds alone."""
        kind, shown = self.kind_value, f'kind "{self.kind}"'
        in_compat = "compat" if kind.judges_columns else shown
        of_columns = "segments" if self.segments else "preprocess"
        words = ("-",) if self.command is None else self.command
        are_words = all(0 < len(one) <= LONGEST_WORD and one.isprintable() for one in words)
        return (
            (
                self.compat and not kind.compat_evaluation,
                f"compat with {shown}; SageMaker has no such monitor",
            ),
            (
                bool(self.labels) and not (self.source is None and kind.uses_labels),
                f"labels with {'a source' if self.source else shown}; expected an endpoint, and a "
                "kind that reads labels",
            ),
            (
                bool(self.rules) and (not kind.judges_columns or self.compat),
                f'rules with {in_compat}; expected kind "data-quality" without compat, since '
                "SageMaker has no rules",
            ),
            (
                not kind.judges_columns and bool(self.segments or self.preprocess),
                f'{of_columns} with {shown}; expected "data-quality"',
            ),
            (
                self.compat and bool(self.segments),
                "segments with compat; expected one of them, since SageMaker has no segments",
            ),
            (
                (self.kind == COMMAND) != (self.command is not None),
                f"{shown} with{'out' * (self.command is None)} command; expected kind: command and "
                "command: [PROGRAM, ARGUMENT, ...], or neither",
            ),
            (
                not 1 <= len(words) <= MOST_WORDS or not are_words,
                f"command: expected 1 to {MOST_WORDS} printable texts of 1 to {LONGEST_WORD} "
                "characters",
            ),
        )

    def _faults_of_source(self) -> tuple[tuple[bool, str], ...]:
        """Return what may be wrong with the endpoint or table that is watched."""
        is_table, needs_model = self.source is not None, self.kind_value.needs_model
        shown, has_target = f'kind "{self.kind}"', self.target_model is not None
        return (
            (bool(self.endpoint) == is_table, "expected endpoint or source, one of them"),
            (
                is_table and self.variant is not None,
                "variant with source; expected an endpoint, whose variant it is",
            ),
            (
                is_table and bool(self.preprocess or self.command or needs_model),
                f"{'preprocess' if self.preprocess else shown} with source; expected an endpoint, "
                "whose requests or model it needs",
            ),
            (
                is_table and has_target,
                "target_model with source; expected an endpoint, whose model it is",
            ),
            # Capture files name no model, and no process asks one of many.
            (
                has_target and bool(self.command or needs_model),
                f"target_model with {shown}; expected data-quality, model-quality or another kind "
                "that judges rows alone",
            ),
        )

    @property
    def external(self) -> ExternalSource | None:
        """The external table that is read; None where an endpoint is captured."""
        return None if self.source is None else ExternalSource.of(self.source)

    @property
    def subject(self) -> str:
        """What is watched, in words: the endpoint, or the table."""
        return self.endpoint or str(self.external)

    @property
    def kind_value(self) -> Kind:
        """What the kind reads, judges and publishes."""
        return kind_named(self.kind)

    @property
    def timetable(self) -> Schedule:
        """The parsed schedule."""
        return _timetable(self.schedule, self.time_zone, self.start)


@lru_cache(maxsize=1 << 16)
def _timetable(expression: str, time_zone: str, start: datetime | None) -> Schedule:
    """Parse a schedule once: schedulers ask for it every few seconds."""
    return Schedule(expression, time_zone, start)


def put_definition(
    connection: Connection, definition: MonitorDefinition, now: datetime
) -> MonitorDefinition:
    """Store a definition; one of the same name is replaced."""
    try:
        RuleSet.of(definition.rules)
    except InputError as error:
        raise DefinitionError(f'monitor "{definition.name}": {error}') from error
    row = connection.execute(
        select(definitions).where(func.lower(definitions.c.name) == definition.name.lower())
    ).first()
    if row is None:
        stored = replace(definition, version=1)
        connection.execute(
            insert(definitions).values(**_values(stored), created_at=now, updated_at=now)
        )
        return stored
    before = from_row(row)
    if before.name != definition.name:
        raise ConflictError(
            f'monitor "{definition.name}": "{before.name}" exists; names differ by more than case'
        )
    # One run more, over the window that counts from now on.
    is_anew = definition.timetable.is_once and before.schedule != definition.schedule
    changed = any(getattr(before, name) != getattr(definition, name) for name in JUDGING)
    stored = replace(definition, version=before.version + changed)
    if stored != before:
        # Schedulers know a definition by the time of its change.
        changed_at = max(now, row.updated_at + timedelta(microseconds=1))
        made_at = {"created_at": now} if is_anew else {}
        connection.execute(
            update(definitions)
            .where(definitions.c.name == stored.name)
            .values(**_values(stored), updated_at=changed_at, **made_at)
        )
    if stored.timetable != before.timetable or is_anew:
        # What waits of the former schedule is planned anew.
        _unplan(connection, stored.name)
    if stored.start != before.start or is_anew:
        # Another beginning: the windows from there on are due again (unchanged ones cost nothing).
        connection.execute(delete(positions).where(positions.c.monitor == stored.name))
    elif (stored.endpoint, stored.source) != (before.endpoint, before.source):
        # Its tables have versions of their own.
        connection.execute(
            update(positions)
            .where(positions.c.monitor == stored.name)
            .values(seen_capture=None, seen_truth=None)
        )
    return stored


def _unplan(connection: Connection, name: str) -> None:
    """Take a monitor's schedule out of the queue; it goes on from the first window of it."""
    own = windows.c.monitor == name, windows.c.reason == SCHEDULED
    begin = select(func.min(windows.c.window_start)).where(*own)
    if (first := connection.scalar(begin)) is not None:
        connection.execute(
            update(positions).where(positions.c.monitor == name).values(planned_until=first)
        )
    is_asked = windows.c.added_by != ""
    connection.execute(update(windows).where(*own, is_asked).values(reason=REQUESTED))
    connection.execute(delete(windows).where(*own))


def get_definition(connection: Connection, name: str) -> MonitorDefinition:
    """Return one definition; NotFoundError when there is none of that name."""
    row = connection.execute(select(definitions).where(definitions.c.name == name)).first()
    if row is None:
        raise NotFoundError(f'monitor "{name}" does not exist; expected one that was applied')
    return from_row(row)


def definition_made_at(connection: Connection, name: str) -> datetime | None:
    """Return when a monitor was created; None when none of that name is stored."""
    table = definitions.c
    return connection.scalar(select(table.created_at).where(table.name == name))


def list_definitions(connection: Connection) -> list[MonitorDefinition]:
    """Return all definitions by name."""
    query = select(definitions).order_by(definitions.c.name)
    return list(read_all(connection.execute(query), from_row))


def read_all(
    rows: Iterable[Row[tuple[object, ...]]], read: Callable[[Row[tuple[object, ...]]], Read]
) -> Iterator[Read]:
    """Read stored monitors; log one that is invalid, and return the others."""
    for row in rows:
        stored = row._mapping  # The documented access to a row by name.
        name = stored["kind"]
        if name not in KINDS and (name not in kind_names() or find_kind(name) is None):
            tell_left_out(stored["name"], f"kind={name} is not installed")
            continue
        try:
            yield read(row)
        except (InputError, TypeError, ValueError) as error:
            tell_left_out(stored["name"], f"cannot be read error={error}")


@lru_cache(maxsize=1024)
def tell_left_out(monitor: str, why: str) -> None:
    """Log that a stored monitor is skipped: once for each reason."""
    log.warning("monitor=%s %s", monitor, why)


def delete_definition(connection: Connection, name: str, now: datetime) -> None:
    """Delete a definition and its window history; executions and datapoints stay.

    Its annotations are withdrawn, so that they silence no later monitor of the same name.
    """
    if connection.execute(delete(definitions).where(definitions.c.name == name)).rowcount == 0:
        raise NotFoundError(f'monitor "{name}" does not exist; expected one that was applied')
    for table in (positions, windows, window_counts, causes):
        connection.execute(delete(table).where(table.c.monitor == name))
    connection.execute(
        update(annotations_table)
        .where(annotations_table.c.monitor == name, annotations_table.c.withdrawn_at.is_(None))
        .values(withdrawn_at=now, withdrawn_by=REMOVAL)
    )


def _values(definition: MonitorDefinition) -> dict[str, object]:
    found = {one.name: getattr(definition, one.name) for one in fields(definition)}
    return found | {
        "tags": dict(definition.tags), "rules": [dict(rule) for rule in definition.rules],
        **{
            name: None if found[name] is None else form(found[name])
            for name, form in (("source", dict), ("segments", list), ("command", list))
        },
    }  # fmt: skip


def from_row(row: Row[tuple[object, ...]]) -> MonitorDefinition:
    """Read a definition from a row of its table."""
    stored = row._mapping  # The documented access to a row by name.
    found = {one.name: stored[one.name] for one in fields(MonitorDefinition)}
    lists = {
        name: one if one is None else tuple(one) for name, one in found.items() if name in LISTS
    }
    return MonitorDefinition(**(found | lists))
