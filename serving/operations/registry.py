"""One operation is one typed function: its route, role and parameters are declared beside it, once.

REST (`rest.py`), the OpenAPI document, roles, the audit log, `driftline.Client` and the command
line are made of this table. The server gives a function what it names of ``services``,
``connection`` (where it needs the database alone: a transaction, or one that reads) and ``page``.
Its other parameters are those of its path, and the fields of its query (GET, DELETE) or of its JSON
body. A parameter with a marker of FastAPI's (Body, Header), or a Request, is FastAPI's to read.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

from fastapi import Request, Response
from fastapi.params import Body, Depends, Param, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)

from driftline.access.principal import Role
from driftline.alerts.documents import snake
from driftline.database.engine import read_connection
from driftline.database.paging import Place, place_of, token_of
from driftline.errors import InputError
from driftline.serving.operations.services import Services

Item = TypeVar("Item")
Other = TypeVar("Other")
Json = dict[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])

PREFIX = "/api/v1"
JSON = "application/json"


def in_utc(moment: datetime) -> datetime:
    """Return a time in UTC."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InputError(
            f"time {moment.isoformat()}; expected one within the years 1 to 9999 in UTC"
        ) from None


def _as_written(moment: object) -> object:
    """Refuse numbers, which would be read as seconds since 1970."""
    if not isinstance(moment, str | datetime) or (isinstance(moment, str) and moment.isdigit()):
        raise InputError(f'time "{moment}"; expected one such as 2026-01-15T06:00:00Z')
    return moment


Time = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(in_utc)]
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
    """What is declared of one operation; `function` has the rest.

    Attributes
    ----------
    role
        What a caller needs; "anyone" is whoever is known.
    status
        Of an answer that is not empty.
    of
        The parameter that names an endpoint, and what returns the one that a caller must be for:
        `authorization.of_endpoint` or `of_new_endpoint`. None: refused to those who are for some
        endpoints only.
    notes_itself
        Whether the function writes the audit log, in the transaction of its change.
    media
        The media types of its answer.
    takes
        The media types of a body that the function reads by itself.
    command, columns
        The words of its command, and what that prints of each item: "name state=state_value".
    """

    method: str
    path: str
    function: Callable[..., Any]
    role: Role | Literal["anyone"]
    status: int = 200
    of: tuple[str, Callable[..., str | None]] | None = None
    notes_itself: bool = False
    media: tuple[str, ...] = (JSON,)
    takes: tuple[str, ...] = ()
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
        return f"{self.method} {re.sub(':path', '', self.path)}"

    @cached_property
    def _given(self) -> Mapping[str, inspect.Parameter]:
        """What the function takes, by name."""
        return inspect.signature(self.function, eval_str=True).parameters

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What is asked of it, by name."""
        found = {name: one for name, one in self._given.items() if name not in _OF_SERVER}
        if self.paging is not None:
            found |= inspect.signature(self.paging, eval_str=True).parameters
        return found

    @property
    def paging(self) -> type[Paging] | None:
        """How it takes the page that is asked for; None where it answers no list page by page."""
        page = self._given.get("page")
        return None if page is None else page.annotation

    def call(self, services: Services, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - its answer
        """Call the function; who may but look gets a connection that but reads."""
        given = dict(asked)
        if self.paging is not None:
            given["page"] = self.paging(given.pop("limit"), given.pop("next_token"))
        if "services" in self._given:
            given["services"] = services
        if "connection" not in self._given:
            return self.function(**given)
        engine = services.context.engine
        is_read = self.method == "GET" or self.role in ("viewer", "analyst")
        with read_connection(engine) if is_read else engine.begin() as connection:
            return self.function(connection=connection, **given)

    @cached_property
    def form(self) -> Any:  # noqa: ANN401 - a type
        """The form of its answer in the document; None where it answers nothing, or no JSON."""
        return _form_of(self.returns)

    @cached_property
    def returns(self) -> Any:  # noqa: ANN401 - a type
        """The type that its function returns."""
        return inspect.signature(self.function, eval_str=True).return_annotation

    def source(self, name: str) -> Literal["path", "document", "request", "field"]:
        """Where a parameter comes from; a field is one of the query, or of the body."""
        if re.search(rf"{{{name}(:path)?}}", self.path):
            return "path"
        kind = self.parameters[name].annotation
        marks = getattr(kind, "__metadata__", ())
        if any(isinstance(one, Body) for one in marks):
            return "document"
        is_fastapis = kind is Request or any(isinstance(one, Param | Depends) for one in marks)
        return "request" if is_fastapis else "field"

    @cached_property
    def fields(self) -> type[BaseModel] | None:
        """The form of its query or body; None where it has no field."""
        names = [name for name in self.parameters if self.source(name) == "field"]
        if not names:
            return None
        found: dict[str, Any] = {}
        for name in names:
            one = self.parameters[name]
            default = ... if one.default is one.empty else one.default
            found[name] = (_described(one.annotation), default)
        return _form(self.id, self.function.__doc__ or "", found, is_body=not self.has_query)

    @property
    def has_query(self) -> bool:
        """Whether its fields are those of a query; else of a body."""
        return self.method in ("GET", "DELETE")

    @cached_property
    def query(self) -> frozenset[str]:
        """The names that its query may have."""
        found = set()
        for name, one in self.parameters.items():
            marks = getattr(one.annotation, "__metadata__", ())
            read = next((mark for mark in marks if isinstance(mark, Query)), None)
            if read is not None:
                found.add(read.alias or name)
        if self.fields is not None and self.has_query:
            found.update(one.alias or name for name, one in self.fields.model_fields.items())
        return frozenset(found)


def _form_of(kind: Any) -> Any:  # noqa: ANN401 - a type
    origin = get_origin(kind)
    if origin is Annotated:  # A response that is made by hand, or was stored, and its form.
        return get_args(kind)[1]
    if origin in (list, Page):
        inner = _form_of(get_args(kind)[0])
        return (Items if origin is list else Page)[inner]
    # What writes its own JSON says nothing of its form.
    is_own = isinstance(kind, type) and "as_dict" in vars(kind)
    is_response = isinstance(kind, type) and issubclass(kind, Response)
    return Json if is_own else None if is_response else kind


def _described(kind: Any) -> Any:  # noqa: ANN401 - a type
    return Annotated[kind, Field(description=about(kind))]


def about(kind: Any) -> str:  # noqa: ANN401 - a type
    """Return what stands beside a type: a text, or the description of a field."""
    marks = getattr(kind, "__metadata__", ())
    texts = (one if isinstance(one, str) else getattr(one, "description", None) for one in marks)
    return next(filter(None, texts), "")


def _form(name: str, text: str, fields: Mapping[str, Any], *, is_body: bool) -> type[BaseModel]:
    title = "".join(word.capitalize() for word in name.split("_")) + "Input"
    config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    in_snake_case: Any = model_validator(mode="before")(_in_snake_case)
    reading = {"in_snake_case": in_snake_case} if is_body else {}
    return create_model(
        title, __config__=config, __doc__=text.partition("\n")[0], __validators__=reading,
        **fields,
    )  # fmt: skip


def _in_snake_case(cls: type[BaseModel], given: object) -> object:
    """Read names in AWS's camel case as ours; a name in both is refused."""
    del cls
    if not isinstance(given, Mapping):
        return given
    found = {snake(str(key)): one for key, one in given.items()}
    if len(found) < len(given):
        raise InputError("body: a name stands there twice, in two spellings; expected it once")
    return found


# What the server gives, by name.
_OF_SERVER = frozenset({"services", "connection", "page"})
OPERATIONS: dict[str, Operation] = {}


def operation(
    route: str,
    *,
    role: Role | Literal["anyone"],
    **declared: Any,  # noqa: ANN401 - fields of Operation
) -> Callable[[Function], Function]:
    """Register a function as an operation.

    Parameters
    ----------
    route
        Method and path, below /api/v1 where it does not begin with //.
    role, declared
        Fields of `Operation`.
    """
    method, path = route.split(" ")
    whole = path[1:] if path.startswith("//") else PREFIX + path

    def register(function: Function) -> Function:
        one = Operation(method, whole, function, role, **declared)
        OPERATIONS[one.key] = one
        return function

    return register
