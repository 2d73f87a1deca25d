"""CloudWatch's dashboards: documents that clients put and get again, of which we show nothing."""

from __future__ import annotations

import json
import re

from sqlalchemy import select

from driftline.alerts.documents import time_of
from driftline.serving.aws.ours import change_said
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import resources
from driftline.serving.resources import echo
from driftline.serving.resources.echo import DASHBOARD
from driftline.serving.tables import echo as table

_BODY_MAX = 1 << 20
_ABOUT = table.c.document["Size"].as_integer(), table.c.document["LastModified"].as_string()
_LISTED = select(table.c.key, *_ABOUT).where(table.c.kind == DASHBOARD)


@serves("cloudwatch.PutDashboard")
async def put_dashboard(wire: Wire, given: Given) -> Answer:
    """Keep a dashboard; one that is no JSON, or has no widgets, is refused."""
    name, body = given["DashboardName"], given["DashboardBody"]
    if fault := _fault(name, body):
        raise WireError("DashboardInvalidInputError", fault)
    document = {**given, "Size": len(body.encode()), "LastModified": wire.now}
    await change_said(
        wire, "put", DASHBOARD, [name], lambda held, one: echo.put(held, DASHBOARD, one, document)
    )
    return {"DashboardValidationMessages": []}


@serves("cloudwatch.GetDashboard")
async def get_dashboard(wire: Wire, given: Given) -> Answer:
    """Return a dashboard as it was put."""
    name = given["DashboardName"]
    found = await wire.asking.read(
        resources.get_resource, lambda _, connection: echo.get(connection, DASHBOARD, name),
        collection="dashboards", name=name,
    )  # fmt: skip
    if not found:
        raise WireError("DashboardNotFoundError", f"Dashboard {name} does not exist")
    return {**found, "DashboardArn": _arn(wire, name)}


@serves("cloudwatch.ListDashboards")
async def list_dashboards(wire: Wire, given: Given) -> Answer:
    """List dashboards by name."""
    rows = await wire.asking.read(
        resources.list_resources, lambda _, connection: connection.execute(_LISTED).all(),
        collection="dashboards",
    )  # fmt: skip
    prefix = given.get("DashboardNamePrefix", "")
    chosen = [one for one in rows if one[0].startswith(prefix)]
    page, token = wire.page(given, lambda one: (one[0],), chosen, size=1000)
    entries = [
        {"DashboardName": name, "Size": size, "LastModified": time_of(time),
         "DashboardArn": _arn(wire, name)} for name, size, time in page
    ]  # fmt: skip
    return {"DashboardEntries": entries, "NextToken": token}


@serves("cloudwatch.DeleteDashboards")
async def delete_dashboards(wire: Wire, given: Given) -> Answer:
    """Delete dashboards; names that none has are passed over: the model has no error for them."""
    await change_said(
        wire, "delete", DASHBOARD, given["DashboardNames"],
        lambda held, one: echo.remove(held, DASHBOARD, one),
    )  # fmt: skip
    return {}


def _fault(name: str, body: str) -> str:
    """Return what is wrong with a dashboard, in AWS's words."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
        return 'The field DashboardName must be 1 to 255 of A-Z, a-z, 0-9, "-" and "_"'
    try:
        found = json.loads(body) if len(body.encode()) <= _BODY_MAX else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return f"The field DashboardBody must be a valid JSON object of at most {_BODY_MAX} bytes"
    if isinstance(found.get("widgets"), list):
        return ""
    faults = [{"dataPath": "", "message": "Should have required property 'widgets', a list"}]
    return f"The dashboard body is invalid, there are 1 validation errors: {json.dumps(faults)}"


def _arn(wire: Wire, name: str) -> str:
    return f"arn:aws:cloudwatch::{wire.account}:dashboard/{name}"
