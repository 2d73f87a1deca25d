"""What a new baseline has been taken to be, in two lines: types and roles, and a likely id."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator

from driftline.baseline.origin import name_words
from driftline.baseline.store import UNNAMED_TIMES, Baseline
from driftline.monitors.results.violation import plural

IDS = frozenset(("id", "uuid", "guid", "key"))
# Of a table with a thousand empty columns the first will do.
SHOWN_UNJUDGED = 5
WORDS = {
    "int64": "whole number",
    "double": "number",
    "string": "text",
    "bool": "truth value",
    "timestamp": "time",
}
# Distinct values are estimated, to about one in a hundred, where there are many.
NEARLY_ALL = 0.97
MIN_ROWS = 100


def told(baseline: Baseline) -> Iterator[str]:
    """Return the lines: types and roles, what is not judged, and which column looks like an id."""
    columns = baseline.signature.columns
    types = Counter[str](column.type for column in columns)
    parts = [plural(types[kind], word) for kind, word in WORDS.items() if types[kind]]
    roles = [f"{one.role} {one.name}" for one in columns if one.role != "feature"]
    roles += [f"given {name}" for name in baseline.signature.context]
    yield "; ".join(part for part in (", ".join(parts), ", ".join(roles)) if part)
    reasons: dict[str, list[str]] = {}
    for column in columns:
        if column.unjudged is not None:
            reasons.setdefault(column.unjudged, []).append(column.name)
    for reason, names in reasons.items():
        more = f" and {len(names) - SHOWN_UNJUDGED} more" if len(names) > SHOWN_UNJUDGED else ""
        shown = ", ".join(names[:SHOWN_UNJUDGED])
        yield f"{shown}{more}: only types and gaps are judged ({reason})"
    if (times := baseline.unnamed_times) is not None:
        yield UNNAMED_TIMES.format(times, f"--timestamp {shlex.quote(times)}")
    known = {} if baseline.profile is None else baseline.profile.columns
    for column in columns:
        found = known.get(column.name)
        is_code = column.role == "feature" and column.type in ("int64", "string")
        if found is None or not is_code or column.unjudged or not name_words(column.name) & IDS:
            continue
        if found.distinct_count >= NEARLY_ALL * found.row_count >= NEARLY_ALL * MIN_ROWS:
            yield (
                f"{column.name} looks like an id, and is judged as a feature; if it is one: "
                f"--id {column.name}"
            )
            return
