"""The client's methods that the table of operations makes; the .pyi beside has their types."""

from driftline.app.client.connection import ServerCalls
from driftline.app.client.operation_table import method_of, operations

OperationCalls = type(
    "OperationCalls", (ServerCalls,), {one["name"]: method_of(one) for one in operations()}
)
