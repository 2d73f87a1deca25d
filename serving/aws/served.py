"""The operations of AWS that are served: one function each, over operations of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftline.serving.operations.asking import Asking
from driftline.serving.operations.services import Services

Given = Mapping[str, Any]
Answer = dict[str, Any]
Function = Callable[["Wire", Given], Awaitable[Answer]]

# By botocore's service id and the operation's name: "sagemaker.CreateModel".
SERVED: dict[str, Function] = {}


class WireError(Exception):
    """An error that a client of AWS knows by its code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Wire:
    """What a function works with: whose request it is, and our own operations."""

    services: Services
    asking: Asking
    region: str
    account: str

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


def serves(name: str) -> Callable[[Function], Function]:
    """Register what serves an operation: the request in AWS's member names, as is the answer."""

    def register(function: Function) -> Function:
        SERVED[name] = function
        return function

    return register
