"""The resource file that ``driftline init`` writes: ready to be applied, and to be read first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from driftline.capture.tap.target import is_name
from driftline.errors import ConflictError, InputError
from driftline.roles import Roles
from driftline.serving.provisioning.deploy import monitor_resources, name_of_file, roles_spec

TODO = {
    "label": "the true answer",
    "prediction": "the model's answer",
    "probability": "its probability, one column for each class",
    "id": "what only identifies a row",
    "timestamp": "the event's time",
    "facet": "a group that is compared with others, such as sex=F",
}
"""What a data set may have, by the names of a Baseline's spec and of the flags."""
_NO_CHANNEL = """\
# No notification channel is configured: run `driftline init` with --channel URL, or declare one
# (kind: Channel) and name it in the alarm_actions of each Alarm above.
"""


def endpoint_name(data: Sequence[str], name: str | None) -> str:
    """Return the endpoint's name: the one that was said, or one made of the file's."""
    stem = Path(data[0]).stem if name is None else name
    found = name_of_file(Path(data[0])) if name is None else name
    if not is_name(found):
        hint = "its name gives no endpoint's name; " if name is None else ""
        raise InputError(
            f'name "{stem[:80]}": {hint}expected --name with letters, digits and inner hyphens, '
            "63 at most"
        )
    return found


def draft_resources(
    data: Sequence[str], name: str, roles: Roles, channel_url: str | None = None
) -> list[dict[str, Any]]:
    """Return the resources of an endpoint whose requests the user's own app answers.

    ``channel_url``: where its alarms send their notifications; the channel has the endpoint's name,
    so that those of other endpoints stay.
    """
    places = [place if "://" in place else os.path.abspath(place) for place in data]  # noqa: PTH100 - globs stay globs
    reference = places if len(places) > 1 else places[0]
    found = [
        {"kind": "Baseline", "name": name, "spec": {"data": reference, **roles_spec(roles)}},
        {"kind": "Endpoint", "name": name, "spec": {"baseline": name}},
        *monitor_resources(name, roles, has_model=False),
    ]
    if channel_url is None:
        return found
    if urlsplit(channel_url).scheme not in ("http", "https"):
        raise InputError(
            f'channel "{channel_url}"; expected a URL such as https://example.org/hook'
        )
    for alarm in (one for one in found if one["kind"] == "Alarm"):
        alarm["spec"]["alarm_actions"] = [name]
    channel = {"kind": "Channel", "name": name, "spec": {"type": "webhook", "url": channel_url}}
    return [channel, *found]


def sent_note(roles: Roles) -> str:
    """Return what rows without names must not hold, as they are read by position; or nothing."""
    named = (roles.id_column, roles.timestamp, roles.label, roles.prediction)
    others = [
        one for one in (*roles.exclude, *named, *roles.probability, *roles.quantile_columns) if one
    ]
    if not others:
        return ""
    return (
        "rows without names are read by position; send names (CSV with a header, objects) or leave "
        f"these out: {', '.join(dict.fromkeys(others))}"
    )


def draft_text(resources: Sequence[dict[str, Any]], *, file: Path, note: str = "") -> str:
    """Write resources as YAML under a comment with what nobody said yet, and a note."""
    spec = next(one["spec"] for one in resources if one["kind"] == "Baseline")
    missing = [role for role in TODO if role not in spec]
    head = ["# Written by `driftline init`."]
    if missing:
        head += [
            "# TODO: name the columns of these in the Baseline's spec, where the data has them, or",
            "# run init again with the flags (--label COL, ...). All other columns are features.",
            *(f"#   {role}: COL  # {TODO[role]}" for role in missing),
        ]
    # A name may hold anything, an end of line too; a comment must not.
    head += [f"# Note: {' '.join(note.splitlines())}"] if note else []
    head.append("# Then: driftline apply -f " + file.name)
    documents = yaml.safe_dump_all(resources, sort_keys=False, allow_unicode=True, width=100)
    has_channel = any(one["kind"] == "Channel" for one in resources)
    return "\n".join(head) + "\n" + documents + ("" if has_channel else _NO_CHANNEL)


def require_free(file: Path) -> None:
    """Refuse to write over a file that is there: it may hold somebody's changes."""
    if file.exists():
        raise ConflictError(f"{file}: is there already; expected --overwrite or --output")


def write_draft(file: Path, text: str) -> None:
    """Write the file."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror})") from error
