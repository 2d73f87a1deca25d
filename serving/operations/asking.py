"""Operations asked by the server's own code, for whoever asked it: as by REST, without HTTP."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic.warnings import UnsupportedFieldAttributeWarning
from sqlalchemy import Connection

from driftline.access.principal import Role
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, ForbiddenError, InputError
from driftline.serving.http.responses import status_of
from driftline.serving.operations import areas  # noqa: F401 - registers all
from driftline.serving.operations.authorization import AuditLog, authorize, require
from driftline.serving.operations.registry import OPERATIONS, PAGE, Operation
from driftline.serving.operations.services import Services
from driftline.validation import told

Read = TypeVar("Read")

INTERNAL_ERROR = 500


class Asking:
    """Does operations as the current caller: with the role, the endpoints and the audit log."""

    def __init__(self, services: Services, audit: AuditLog) -> None:
        self._services, self._audit = services, audit

    async def ask(self, function: Callable[..., Any], **given: Any) -> Any:  # noqa: ANN401 - its answer
        """Call an operation's function by what it declares; return what it returns."""
        operation = _operation_of(function)
        async with self._noted(operation, given):
            asked = _checked(operation, given)
            if inspect.iscoroutinefunction(function):
                return await operation.call(self._services, asked)
            return await asyncio.to_thread(operation.call, self._services, asked)

    async def read(
        self, function: Callable[..., Any], read: Callable[[Services, Connection], Read],
        **given: object,
    ) -> Read:  # fmt: skip
        """Read what an operation would show by another function, for whoever may ask that."""
        async with self._noted(_operation_of(function), given):
            return await asyncio.to_thread(self._read, read)

    async def act(
        self, function: Callable[..., Any], act: Callable[..., Awaitable[Read]], **given: object
    ) -> Read:
        """Do what an operation does by another function, for whoever may ask that."""
        operation = _operation_of(function)
        async with self._noted(operation, given):
            return await act(self._services, **_checked(operation, given))

    def _read(self, read: Callable[[Services, Connection], Read]) -> Read:
        with read_connection(self._services.context.engine) as connection:
            return read(self._services, connection)

    @asynccontextmanager
    async def _noted(self, operation: Operation, given: Mapping[str, Any]) -> AsyncIterator[None]:
        """Refuse who may not ask an operation, and note what was asked and how that ended."""
        status = operation.status
        try:
            authorize(operation, given)
            yield
        except DriftlineError as error:
            status, _, _ = status_of(error)
            raise
        except Exception:
            status = INTERNAL_ERROR
            raise
        finally:
            await self._audit.note(operation, _path(operation, given), status)

    async def require(self, function: Callable[..., Any], role: Role) -> None:
        """Refuse whom an operation would refuse, before anything is done or read for them."""
        operation = _operation_of(function)
        try:
            authorize(operation, {})
            require(role)
        except ForbiddenError:
            await self._audit.note(operation, operation.path, 403)
            raise


@cache
def _operation_of(function: Callable[..., Any]) -> Operation:
    return next(one for one in OPERATIONS.values() if one.function is function)


@cache
def _adapters(operation: Operation) -> Mapping[str, TypeAdapter[Any]]:
    with warnings.catch_warnings():
        # The names of the query mean nothing here, where parameters go by their own.
        warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
        return {name: TypeAdapter(one.annotation) for name, one in operation.parameters.items()}


def _checked(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """Hold what is given against what the function declares."""
    adapters, asked = _adapters(operation), dict(given)
    if operation.paging is not None:
        asked = {"limit": PAGE, "next_token": None, **asked}
    for name, value in asked.items():
        try:
            asked[name] = adapters[name].validate_python(value)
        except ValidationError as error:
            raise InputError(f"{name}: {told(error.errors()[0])}") from None
    return asked


def _path(operation: Operation, given: Mapping[str, Any]) -> str:
    named = {name: quote(str(value), safe="") for name, value in given.items()}
    return operation.path.replace(":path", "").format_map(named)
