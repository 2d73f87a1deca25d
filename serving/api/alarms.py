"""Routes of alarms of all kinds: how they stand and why, their history, replay, what people set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, Field
from sqlalchemy import Connection
from starlette.routing import Match

from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.composite_records import (
    AnyRecord,
    CompositeRecord,
    get_any,
    list_any,
)
from driftline.alerts.alarms.known import require_alarm, require_past
from driftline.alerts.alarms.records import HistoryItem, history
from driftline.alerts.evaluation.explain import explain
from driftline.alerts.evaluation.replay import preview, replay
from driftline.alerts.evaluation.states import set_actions_enabled, set_state, set_tags
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.notify.channels import get_channel
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.loopback import Scope
from driftline.serving.api.requests import PAGE, Fields, Limit, PageToken, in_utc, page_of, tag_of
from driftline.serving.context import ServerContext

# Periods that one request may look at: about a second of the process that answers inference, too;
# `driftline alarm replay` takes longer ones.
_LONGEST = 200_000
# What is shown of a change of state.
_CHANGE = ("alarm_name", "seq", "old", "new", "reason")


class Filter(Fields):
    """Which alarms are asked for."""

    kind: Literal["metric", "composite"] | None = None
    state: State | None = None
    prefix: Annotated[str, Field(max_length=255)] = ""
    channel: str | None = None
    # KEY=VALUE; several must all be there.
    tag: list[str] = Field(default=[])
    parents_of: str | None = None
    children_of: str | None = None
    limit: Limit = PAGE
    next_token: PageToken = None

    @property
    def pairs(self) -> dict[str, str]:
        """The tags, by key."""
        return dict(tag_of(text) for text in self.tag)


class Past(Fields):
    """Which part of an alarm's history is asked for."""

    type: Literal["ConfigurationUpdate", "StateUpdate", "Action"] | None = None
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Limit = PAGE
    next_token: PageToken = None


class StateAsked(Fields):
    """SetAlarmState's fields in snake case."""

    state_value: str
    state_reason: str
    state_reason_data: str | None = None


class ActionsAsked(Fields):
    """Alarms, and whether their actions are to run."""

    # CloudWatch's limit of EnableAlarmActions.
    names: Annotated[list[str], Field(min_length=1, max_length=100)]
    enabled: bool


class TagsAsked(Fields):
    """Tags to add, and keys of tags to remove."""

    tags: dict[str, str] = Field(default={})
    without: list[str] = Field(default=[])


class Beneath(APIRoute):
    """A route beneath an alarm, whose name may end like the route: its own slashes are %2F."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Look at the path as it was sent: there slashes of names are told from those of routes."""
        last = self.path.rpartition("/")[2]
        if not scope.get("raw_path", b"").partition(b"?")[0].endswith(b"/" + last.encode()):
            return Match.NONE, {}
        return super().matches(scope)


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["alarms"], route_class=Beneath)

    _add_replay(routes, context)
    _add_questions(routes, context)
    _add_changes(routes, context)

    return routes


def _add_replay(routes: APIRouter, context: ServerContext) -> None:
    """Add what leaves no trace in the server."""
    bands = BandModels()

    @routes.post("/alarms/replay")
    def alarm_replay(document: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Evaluate an alarm on datapoints, or a composite on states, from a start to an end.

        `{"alarm": PutMetricAlarm's fields, "datapoints": [{"Timestamp", "Value"}], "start",
        "end"}`, or `{"composite": PutCompositeAlarm's fields, "children": {name: [{"time",
        "state"}]}, "start", "end"}`; one item for each evaluation.
        """
        return {"items": [line.as_dict() for line in replay(document, longest=_LONGEST)]}

    @routes.post("/alarms/preview")
    def alarm_preview(document: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Evaluate an alarm on what is stored for its metrics; it need not be declared.

        `{"alarm": PutMetricAlarm's fields, "start", "end", "step_s"}`; one item for each
        evaluation.
        """
        with read_connection(context.engine) as connection:
            found = preview(connection, document, longest=_LONGEST, bands=bands)
            return {"items": [line.as_dict() for line in found]}


def _reading(context: ServerContext) -> Connection:
    """Open a connection that holds up no writer, and waits for none."""
    return read_connection(context.engine)


def _add_questions(routes: APIRouter, context: ServerContext) -> None:
    bands = BandModels()

    @routes.get("/alarm-states")
    def alarm_states(asked: Annotated[Filter, Query()]) -> dict[str, Any]:
        """List alarms of all kinds by name."""
        (after,) = place_of(asked.next_token, str) or ("",)
        with _reading(context) as connection:
            for name in filter(None, (asked.parents_of, asked.children_of)):
                require_alarm(connection, name)
            if asked.channel is not None:
                get_channel(connection, asked.channel)
            found = list_any(
                connection, tags=asked.pairs, after=str(after), limit=asked.limit + 1,
                **asked.model_dump(exclude={"tag", "limit", "next_token"}),
            )  # fmt: skip
        return page_of(found, asked.limit, lambda one: (one.name,), shown)

    @routes.get("/alarms/{name:path}/state")
    def alarm_state(name: str) -> dict[str, Any]:
        """Return one alarm of any kind: its definition and where it stands."""
        with _reading(context) as connection:
            return shown(get_any(connection, name))

    @routes.get("/alarms/{name:path}/explain")
    def alarm_explain(name: str) -> dict[str, Any]:
        """Explain why an alarm is in its state, what is missing, and who was notified.

        `rows` is the command that lists the rows behind the cause; `last_alarm` says when an alarm
        that has recovered was last in ALARM, and why.
        """
        with _reading(context) as connection:
            found = explain(
                connection, name, context.now(), bands=bands, dashboard_url=context.dashboard_url
            )
        return found.as_dict()

    @routes.get("/alarms/{name:path}/history")
    def alarm_history(name: str, asked: Annotated[Past, Query()]) -> dict[str, Any]:
        """List what happened to an alarm, newest first; also after it was deleted."""
        with _reading(context) as connection:
            found = history(
                connection,
                name,
                type=asked.type,
                start=None if asked.start is None else in_utc(asked.start),
                end=None if asked.end is None else in_utc(asked.end),
                after=place_of(asked.next_token, int),
                limit=asked.limit + 1,
                newest_first=asked.order == "newest",
            )
            if not found and asked.next_token is None:
                require_past(connection, name)
        return page_of(found, asked.limit, lambda one: (one.id,), HistoryItem.as_dict)


def _add_changes(routes: APIRouter, context: ServerContext) -> None:
    @routes.put("/alarms/{name:path}/state")
    def set_alarm_state(name: str, asked: StateAsked) -> dict[str, Any]:
        """Put an alarm into a state and run its actions; its next evaluation may change it."""
        with context.engine.begin() as connection:
            found = set_state(
                connection,
                name,
                asked.state_value,
                asked.state_reason,
                context.now(),
                reason_data=asked.state_reason_data,
                dashboard_url=context.dashboard_url,
            )
        return {"changes": [{name: getattr(one, name) for name in _CHANGE} for one in found]}

    @routes.post("/alarms/actions", status_code=204)
    def switch_actions(asked: ActionsAsked) -> None:
        """Switch the actions of alarms on or off, all or none of them."""
        with context.engine.begin() as connection:
            set_actions_enabled(connection, asked.names, context.now(), enabled=asked.enabled)

    @routes.patch("/alarms/{name:path}/tags")
    def tag_alarm(name: str, asked: TagsAsked) -> dict[str, Any]:
        """Add tags to an alarm and remove others; gives all that it has then."""
        with context.engine.begin() as connection:
            found = set_tags(
                connection, name, context.now(), tags=asked.tags, without=asked.without
            )
        return {"tags": found}


def shown(record: AnyRecord) -> dict[str, Any]:
    """Return an alarm as plain JSON values, and its kind."""
    kind = "composite" if isinstance(record, CompositeRecord) else "metric"
    return {"name": record.name, "kind": kind, **record.as_dict()}
