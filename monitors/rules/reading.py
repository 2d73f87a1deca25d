"""Where rules come from: a file, constraints.json, a document of violations."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from driftline.baseline.condition import Condition
from driftline.baseline.constraints import Constraints
from driftline.baseline.predicate import Predicate
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.monitors.kinds.outliers.condition import OUTLIER, OutlierCondition
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.row_counter import RowRule
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.rules.table_checks import Unique, unique_condition

# Our own keys in SageMaker's document; its readers leave them alone.
OWN = "driftline"
# A rule file is written by hand; what is bigger is something else.
MAX_BYTES = 1 << 22
KEY = re.compile(r"[0-9a-fA-F]{1,16}")


def read_rules(found: object) -> RuleSet:
    """Read rules from wherever they are: a list, a file's path, or a set that was read before.

    Parameters
    ----------
    found
        As `RuleSet.of` takes it; or the path or URI of a YAML or JSON file with a list of rules,
        or with such a list under ``rules``.

    Raises
    ------
    InputError
        Naming the file or the place, what is wrong there and what was expected.
    """
    if isinstance(found, str | os.PathLike):
        shown = os.fspath(found)
        return RuleSet.of(_parsed(locate(found).read(), shown), where=shown)
    return RuleSet.of(found)


def _parsed(data: bytes, shown: str) -> object:
    if len(data) > MAX_BYTES:
        raise InputError(f"{shown}: {len(data):,} bytes; expected a file of rules, up to 4 MiB")
    # Only a file of rules needs it.
    import yaml

    try:
        text = data.decode("utf-8-sig")
        # JSON is nearly YAML, but not with tabs.
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8; expected YAML or JSON with rules") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if text.lstrip()[:1] == "[":  # A list in YAML's own short form is no JSON.
            return _flow(text, shown)
        raise InputError(f"{shown}: neither YAML nor JSON ({_where(error)})") from error


def _flow(text: str, shown: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{shown}: neither YAML nor JSON ({_where(error)})") from error


def _where(error: Exception) -> str:
    """Say in one line what a parser did not like, and where."""
    return " ".join(str(error).split())[:200]


def rules_of(constraints: Constraints) -> RuleSet:
    """Read the rules of constraints.json: ``{"driftline": {"rules": […]}}``; none when absent."""
    own = constraints.document.get(OWN, {})
    if not isinstance(own, Mapping):
        raise InputError(f'constraints: "{OWN}" is {own!r}; expected an object with "rules"')
    return RuleSet.of(own.get("rules"), where=f"constraints: {OWN}.rules")


def with_rules(constraints: Constraints, rules: RuleSet) -> Constraints:
    """Write rules into constraints.json, in place of those that are there."""
    own = {**constraints.document.get(OWN, {}), "rules": rules.to_list()}
    return replace(constraints, document={**constraints.document, OWN: own})


def read_condition(found: Mapping[str, Any]) -> Condition:
    """Make the condition on rows again that a violation's document holds.

    That of outliers marks rows once `with_baseline` has told it what is odd.

    Raises
    ------
    InputError
        When it is none, or its check is not installed here.
    """
    if found.get("op") == OUTLIER:
        return OutlierCondition()
    if found.get("op") != "rule":
        return Predicate.from_dict(found)
    rules = RuleSet.of([found.get("rule")], where="violation")
    check = rules.rules[0].check(datetime.now(UTC))
    breaks: Callable[[pa.RecordBatch], pa.BooleanArray]
    if isinstance(check, Unique):
        columns = tuple(str(one) for one in _listed(found, "compared"))
        keys = tuple(str(one) for one in _listed(found, "keys"))
        if wrong := [one for one in keys if not KEY.fullmatch(one)]:
            raise InputError(f'violation: key "{wrong[0]}"; expected 16 hexadecimal digits')
        breaks = unique_condition(replace(check, columns=columns), keys)
        phrase = check.phrase
    elif isinstance(check, RowRule):
        breaks = check.breaks
        phrase = check.check.broken
        columns = check.columns
    else:
        raise InputError("the rule has no rows behind it")
    return RuleCondition(str(found.get("column", "")), phrase, breaks, columns=columns)


def _listed(found: Mapping[str, Any], key: str) -> Sequence[object]:
    held = found.get(key, ())
    if not isinstance(held, list | tuple):
        raise InputError(f"violation: {key} is {held!r}; expected a list")
    return held
