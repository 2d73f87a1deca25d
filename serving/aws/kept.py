"""What functions of the wire keep beside a resource, to show it again (echo.py)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from driftline.serving.aws.served import Wire
from driftline.serving.resources import echo


async def keep(wire: Wire, kind: str, name: str, document: Mapping[str, Any]) -> None:
    """Keep a document; call it once an operation of ours has let the caller change the resource."""
    await asyncio.to_thread(_change, wire, echo.put, kind, name, document)


async def forget(wire: Wire, kind: str, name: str) -> None:
    """Forget what is kept of what is no declared resource; of those it goes with them."""
    await asyncio.to_thread(_change, wire, echo.remove, kind, name)


def _change(wire: Wire, function: Callable[..., None], *given: object) -> None:
    with wire.services.context.engine.begin() as connection:
        function(connection, *given)


def arn_of(wire: Wire, kind: str, name: str) -> str:
    """Return the ARN of what SageMaker's API calls a DataQualityJobDefinition, say."""
    return wire.arn("sagemaker", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower(), name)
