"""Reads rules from a file, or constraints.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from driftline.baseline.constraints import Constraints
from driftline.errors import InputError
from driftline.formats.location import Location, locate
from driftline.formats.syntax import syntax_fault
from driftline.monitors.rules.reach import FUNCTION, scripts_named
from driftline.monitors.rules.ruleset import RuleSet

# Our own keys in SageMaker's document; its readers leave them alone.
OWN = "driftline"
# A rule file is written by hand; what is bigger is something else.
MAX_BYTES = 1 << 22


def read_rules(found: object) -> RuleSet:
    """Read rules from a list, a file's path, or a rule set."""
    if isinstance(found, str | os.PathLike):
        shown = os.fspath(found)
        place = locate(found)
        return RuleSet.of(_beside(_parsed(place.read(), shown), place), where=shown)
    return RuleSet.of(found)


def _beside(found: object, file: Location) -> object:
    """Return the rules of a file with the tables and functions that they name placed beside it."""
    if isinstance(found, Mapping) and "rules" in found:
        return {**found, "rules": _beside(found["rules"], file)}
    if not isinstance(found, list):
        return found
    return [_placed(one, file) if isinstance(one, Mapping) else one for one in found]


def _placed(rule: Mapping[object, object], file: Location) -> dict[object, object]:
    found = dict(rule)
    check, table = found.get("check"), found.get("table")
    if isinstance(check, str) and FUNCTION.fullmatch(check):
        if not file.is_local and not Path(check).is_absolute():
            raise InputError(
                f'{file.shown}: check "{check}": functions run from a disk only; expected the '
                "whole path of its file, or a rule file on a disk"
            )
        found["check"] = _path_beside(file, check)
    if check == "foreign_key" and isinstance(table, str) and not _is_uri(table):
        found["table"] = _path_beside(file, table)
    return found


def _path_beside(file: Location, name: str) -> str:
    """Return a path that is relative to a file's folder, as the caller named that."""
    if not file.is_local:
        folder = file.shown.rpartition("/")[0]
        return name if Path(name).is_absolute() else f"{folder}/{name}"
    # As the caller named it, so that reports say no more of the machine.
    return str(Path(file.path if _is_uri(file.shown) else file.shown).parent / name)


def _is_uri(where: str) -> bool:
    return "://" in where or where.startswith("file:")


def _parsed(data: bytes, shown: str) -> object:
    if len(data) > MAX_BYTES:
        raise InputError(f"{shown}: {len(data):,} bytes; expected a file of rules, up to 4 MiB")
    # Only a file of rules needs it.
    import yaml

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8; expected YAML or JSON with rules") from error
    first = text.lstrip()[:1]
    if first in ("{", "["):  # JSON is nearly YAML, but not with tabs.
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            if first == "{":  # A list in YAML's own short form is no JSON.
                reason = syntax_fault(error, text)
                raise InputError(f"{shown}: neither YAML nor JSON: {reason}") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{shown}: neither YAML nor JSON: {syntax_fault(error, text)}") from error


def rules_of(constraints: Constraints) -> RuleSet:
    """Read the rules of constraints.json: ``{"driftline": {"rules": […]}}``; none when absent."""
    own = constraints.document.get(OWN, {})
    if not isinstance(own, Mapping):
        raise InputError(f'constraints: "{OWN}" is {own!r}; expected an object with "rules"')
    return RuleSet.of(own.get("rules"), where=f"constraints: {OWN}.rules")


def with_rules(constraints: Constraints, rules: RuleSet) -> Constraints:
    """Write rules into constraints.json, in place of those that are there."""
    declared = rules.to_list()
    if scripts := scripts_named(declared):
        raise InputError(
            f"a rule is a function of {scripts[0]}, which no baseline can hold; give it to the "
            "check, or to the monitor"
        )
    if tables := [one["table"] for one in declared if one["check"] == "foreign_key"]:
        raise InputError(
            f'a rule reads table "{tables[0]}", which no baseline can name; give it to the check, '
            "or to the monitor"
        )
    own = {**constraints.document.get(OWN, {}), "rules": declared}
    return replace(constraints, document={**constraints.document, OWN: own})
