"""One operation is one typed function: its route, role and parameters are declared beside it, once.

REST (`rest.py`), the OpenAPI document, roles, the audit log, `driftline.Client` and the command
line are made of this table. The server gives a function what it names of ``services``,
``connection`` (where it needs the database alone: a transaction, or one that reads) and ``page``.
FastAPI reads its other parameters: those of the path, and the fields of the query (GET, DELETE) or
of the JSON body, unless a marker of FastAPI's stands beside one.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

from fastapi import Request, Response
from fastapi.params import Body, Depends, Param, Path, Query
from pydantic import BaseModel, BeforeValidator, Field
from pydantic.fields import FieldInfo

from driftline.access.principal import Role
from driftline.database.engine import read_connection
from driftline.database.paging import Place, place_of, token_of
from driftline.errors import InputError
from driftline.serving.operations.services import Services
from driftline.serving.resources.spec import Moment

Item = TypeVar("Item")
Other = TypeVar("Other")
Json = dict[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])

PREFIX = "/api/v1"
JSON = "application/json"


def _as_written(moment: object) -> object:
    """Refuse numbers, which would be read as seconds since 1970."""
    if not isinstance(moment, str | datetime) or (isinstance(moment, str) and moment.isdigit()):
        raise InputError(f'time "{moment}"; expected one such as 2026-01-15T06:00:00Z')
    return moment


Time = Annotated[Moment, BeforeValidator(_as_written)]
# The greatest whole number that databases take.
ID_MAX = (1 << 63) - 1
PAGE = 100
Start = Annotated[Time | None, Field(alias="from", description="Begin here; included.")]
End = Annotated[Time | None, Field(alias="to", description="End here; left out.")]
# Of a span that both ends of must be given.
From = Annotated[Time, Field(alias="from", description="Begin here; included.")]
To = Annotated[Time, Field(alias="to", description="End here; left out.")]
Tags = Annotated[
    Sequence[str], Field(description="KEY=VALUE; several must all be there; repeatable.")
]


Prefix = Annotated[str, Field(max_length=255, description="Only names that begin so.")]


async def _body_of(request: Request) -> bytes:
    return await request.body()


# A body that the function reads by itself, of the media types that it `takes`.
RawBody = Annotated[bytes, Depends(_body_of)]


def pairs_of(tags: Sequence[str]) -> dict[str, str]:
    """Read tags that are written KEY=VALUE."""
    found = {}
    for text in tags:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise InputError(f'tag "{text[:80]}"; expected KEY=VALUE')
        found[key] = value
    return found


def plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return plain JSON values: times as text, null for NaN, an object for a dataclass."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if isinstance(value, BaseModel):
        return plain(dict(value))
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    return value


@dataclass(frozen=True)
class Items(Generic[Item]):
    """A list."""

    items: Sequence[Item]


@dataclass(frozen=True)
class Page(Items[Item]):
    """One page of a list; its token is null on the last."""

    next_token: str | None


@dataclass(frozen=True)
class Paging:
    """Which page of a list is asked for: up to ``limit`` items, behind those of the token."""

    limit: Annotated[int, Field(ge=1, le=1000, description="So many at most.")] = PAGE
    next_token: Annotated[
        str | None,
        Field(
            max_length=2000, description="`next_token` of the page before, with the same filters."
        ),
    ] = None

    @property
    def count(self) -> int:
        """How many items to look for: one more than the page has tells that the list goes on."""
        return self.limit + 1

    def after(self, *kinds: type) -> Place | None:
        """Return the values of the list's order that the page begins behind, by their types."""
        return place_of(self.next_token, *kinds)

    def after_name(self) -> str:
        """Return the name that the page begins behind."""
        return str((self.after(str) or ("",))[0])

    def of(
        self,
        found: Sequence[Other],
        place: Callable[[Other], Place],
        shown: Callable[[Other], Item] | None = None,
    ) -> Page[Item]:
        """Return the page: items as a function shows them, and the place of the last as token."""
        token = token_of(place(found[self.limit - 1])) if len(found) > self.limit else None
        items: Any = found[: self.limit]
        return Page(items if shown is None else [*map(shown, items)], token)


class Latest(Paging):
    """A page of what happened, the newest first: a client that names no limit takes one page."""


@dataclass(frozen=True)
class Operation:
    """What is declared of one operation; `function` has the rest."""

    method: str
    path: str
    function: Callable[..., Any]
    # What a caller needs; "anyone" is whoever is known.
    role: Role | Literal["anyone"]
    status: int = 200  # Of an answer that is not empty.
    # The parameter that names an endpoint; without one an operation is refused to those who are
    # for some endpoints only.
    of: str = ""
    # Whether the function writes the audit log, in the transaction of its change.
    notes_itself: bool = False
    media: tuple[str, ...] = (JSON,)  # Of its answer.
    takes: tuple[str, ...] = ()  # The media types of a body that it reads by itself.
    # The words of its command, and what that prints of each item: "name state=state_value".
    command: str = ""
    columns: str = ""

    @property
    def id(self) -> str:
        """The name of its function: its id in OpenAPI, and the method of the client."""
        return self.function.__name__

    @property
    def tag(self) -> str:
        """The area that it belongs to: its module's name."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def about(self) -> str:
        """What it does, and who may ask it; the example is of the command line."""
        text = inspect.cleandoc(self.function.__doc__ or "").partition("\n\nExample: ")[0]
        needs = "no role" if self.role == "anyone" else f"the role `{self.role}`"
        return f"{text}\n\nNeeds {needs}."

    @property
    def key(self) -> str:
        """Method and path, as in the audit log."""
        return f"{self.method} {self.path.replace(':path', '')}"

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function, eval_str=True)

    @property
    def returns(self) -> Any:  # noqa: ANN401 - a type
        """The type that its function returns."""
        return self._signature.return_annotation

    @property
    def paging(self) -> type[Paging] | None:
        """How it takes the page that is asked for; None where it answers no list page by page."""
        page = self._signature.parameters.get("page")
        return None if page is None else page.annotation

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What is asked of it, by name, each with FastAPI's marker beside its type."""
        found = {
            name: one for name, one in self._signature.parameters.items() if name not in _OF_SERVER
        }
        if self.paging is not None:
            found |= inspect.signature(self.paging, eval_str=True).parameters
        return {name: self._marked(one) for name, one in found.items()}

    def _marked(self, one: inspect.Parameter) -> inspect.Parameter:
        kind = one.annotation
        if kind is not Request and not isinstance(marker_of(one), Param | Body | Depends):
            given: Any = {"description": about(kind)}
            given["alias"] = getattr(marker_of(one), "alias", None)
            if re.search(rf"{{{one.name}(:path)?}}", self.path):
                kind = Annotated[kind, Path(**given)]
            elif self.method in ("GET", "DELETE"):
                kind = Annotated[kind, Query(**given)]
            else:
                kind = Annotated[kind, Body(embed=True, **given)]
        return one.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY)

    def names_of(self, kind: type[Query | Body]) -> frozenset[str] | None:
        """Return the names that its query or body may have; None of a body that it reads itself."""
        found = set()
        for name, one in self.parameters.items():
            marker = marker_of(one)
            if isinstance(marker, kind):
                if isinstance(marker, Body) and not marker.embed:
                    return None
                found.add(marker.alias or name)
        return frozenset(found)

    def call(self, services: Services, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - its answer
        """Call the function; who may but look gets a connection that but reads."""
        given = dict(asked)
        start, end = given.get("start"), given.get("end")
        if isinstance(start, datetime) and isinstance(end, datetime) and start > end:
            raise InputError(f"from {start} is after to {end}; expected a start before the end")
        if self.paging is not None:
            given["page"] = self.paging(given.pop("limit"), given.pop("next_token"))
        if "services" in self._signature.parameters:
            given["services"] = services
        if "connection" not in self._signature.parameters:
            return self.function(**given)
        engine = services.context.engine
        is_read = self.method == "GET" or self.role in ("viewer", "analyst")
        with read_connection(engine) if is_read else engine.begin() as connection:
            return self.function(connection=connection, **given)


def marker_of(one: inspect.Parameter) -> Any:  # noqa: ANN401 - FastAPI's or pydantic's
    """Return what is declared beside the type of a parameter, the last; None for a text alone."""
    marks = getattr(one.annotation, "__metadata__", ())
    declared = [mark for mark in marks if isinstance(mark, FieldInfo | Depends)]
    return declared[-1] if declared else None


def form_of(kind: Any) -> Any:  # noqa: ANN401 - a type
    """Return the form of an answer in the document; None where it is nothing, or no JSON."""
    origin = get_origin(kind)
    if origin is Annotated:  # A response that is made by hand, or was stored, and its form.
        return get_args(kind)[1]
    if origin in (list, Page):
        return (Items if origin is list else Page)[form_of(get_args(kind)[0])]
    if not isinstance(kind, type):
        return kind
    # What writes its own JSON says nothing of its form.
    return Json if "as_dict" in vars(kind) else None if issubclass(kind, Response) else kind


def about(kind: Any) -> str:  # noqa: ANN401 - a type
    """Return what stands beside a type: a text, or the description of a field."""
    marks = getattr(kind, "__metadata__", ())
    texts = (one if isinstance(one, str) else getattr(one, "description", None) for one in marks)
    return next(filter(None, texts), "")


# What the server gives, by name.
_OF_SERVER = frozenset({"services", "connection", "page"})
OPERATIONS: dict[str, Operation] = {}


def operation(
    route: str,
    *,
    role: Role | Literal["anyone"],
    **declared: Any,  # noqa: ANN401 - fields of Operation
) -> Callable[[Function], Function]:
    """Register a function by method and path, below /api/v1 where it does not begin with //."""
    method, path = route.split(" ")
    whole = path[1:] if path.startswith("//") else PREFIX + path

    def register(function: Function) -> Function:
        one = Operation(method, whole, function, role, **declared)
        OPERATIONS[one.key] = one
        return function

    return register
