"""STS: whose keys are asked with."""

from __future__ import annotations

from driftline.access.principal import signing_name
from driftline.serving.aws.served import Answer, Given, Wire, serves


@serves("sts.GetCallerIdentity")
async def get_caller_identity(wire: Wire, _given: Given) -> Answer:
    """Return the account, and the caller under the name that the audit log shows."""
    name = signing_name()
    arn = f"arn:aws:iam::{wire.account}:user/{name}"
    return {"UserId": name, "Account": wire.account, "Arn": arn}
