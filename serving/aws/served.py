"""The operations of AWS that are served: one function each, over operations of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

from driftline.database.paging import Place, place_of, token_of
from driftline.errors import InputError
from driftline.serving.operations.asking import Asking
from driftline.serving.operations.services import Services

Given = Mapping[str, Any]
Answer = dict[str, Any]
Item = TypeVar("Item")
Each = TypeVar("Each", bound=str)
Function = Callable[["Wire", Given], Awaitable[Answer]]

# The members that ask for a page, as AWS's services name them.
_LIMITS = ("MaxResults", "MaxRecords", "limit", "Limit")
_TOKENS = ("NextToken", "nextToken")
# By botocore's service id and the operation's name: "sagemaker.CreateModel".
SERVED: dict[str, Function] = {}


class WireError(Exception):
    """An error that a client of AWS knows by its code.

    The code is the name of an error's shape in the model, or the code that the query protocol has
    for it; without a status it is the model's for that shape, or else 400.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class BadTokenError(InputError):
    """A token is of no page of this list."""

    def __init__(self) -> None:
        super().__init__("NextToken is of no page of this list")


@dataclass(frozen=True)
class Wire:
    """What a function works with: whose request it is, and our own operations."""

    services: Services
    asking: Asking
    region: str
    account: str
    call: str | None = None  # The id that an SDK gives a call, the same when it tries again.

    @property
    def now(self) -> datetime:
        """The server's time."""
        return self.services.context.now()

    async def ask(self, function: Callable[..., Any], **given: Any) -> Any:  # noqa: ANN401 - its answer
        """Do one of our operations as the caller; return what its function returns."""
        return await self.asking.ask(function, **given)

    def arn(self, service: str, kind: str, name: str) -> str:
        """Return the ARN of a resource; SageMaker writes names in lower case there."""
        shown = name.lower() if service == "sagemaker" else name
        return f"arn:aws:{service}:{self.region}:{self.account}:{kind}/{shown}"

    def page(
        self,
        given: Given,
        key: Callable[[Item], Place],
        items: Iterable[Item],
        *,
        size: int = 10,
        descending: bool = False,
    ) -> tuple[list[Item], str | None]:
        """Return one page of a list that is at hand, and the token of the next page.

        ``key``: what orders the items, unique, of texts, whole numbers (not negative) and times;
        ``size``: of a page where the request names none. Items that come and go between two pages
        neither repeat nor hide others. A list that a table holds is better read from a place on:
        `after` and `token`.
        """
        ordered = sorted(items, key=key, reverse=descending)
        limit = self.limit(given, size)
        if ordered and (place := self.after(given, *map(type, key(ordered[0])))) is not None:
            ordered = [
                one for one in ordered if (key(one) < place if descending else key(one) > place)
            ]
        found = ordered[:limit]
        return found, self.token(given, key(found[-1])) if len(ordered) > limit else None

    @staticmethod
    def limit(given: Given, size: int) -> int:
        """Return how many items a page has at most: as asked for, or else ``size``."""
        # Not all models have a least value.
        return max(1, next((int(given[name]) for name in _LIMITS if name in given), size))

    def after(self, given: Given, *kinds: type) -> Place | None:
        """Return the place that a page begins behind, by the types of its values."""
        token = next((given[name] for name in _TOKENS if name in given), None)
        try:
            place = place_of(token, str, *kinds)
        except InputError:
            place = ("",)
        if place is not None and place[0] != _filters(given):
            raise BadTokenError
        return None if place is None else place[1:]

    @staticmethod
    def token(given: Given, place: Place) -> str:
        """Return the token of the page that begins behind a place; good for the same filters."""
        return token_of((_filters(given), *place))


def _filters(given: Given) -> str:
    """Return a digest of what a list is asked for, but for which page of it."""
    asked = {name: one for name, one in given.items() if name not in {*_LIMITS, *_TOKENS}}
    return sha256(repr(sorted(asked.items())).encode()).hexdigest()[:16]


def serves(name: str) -> Callable[[Function], Function]:
    """Register what serves an operation: the request in AWS's member names, as is the answer."""

    def register(function: Function) -> Function:
        SERVED[name] = function
        return function

    return register


def serves_each(
    name: str, kinds: Iterable[Each]
) -> Callable[[Callable[[Each, Wire, Given], Awaitable[Answer]]], object]:
    """Register what serves an operation of each kind, whose name stands for ``{}`` in it."""

    def register(function: Callable[[Each, Wire, Given], Awaitable[Answer]]) -> object:
        for kind in kinds:
            SERVED[name.format(kind)] = partial(function, kind)
        return function

    return register
