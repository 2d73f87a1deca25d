"""Checks of one column, each worded as in SageMaker: a draft, or nothing. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.baseline.condition import Condition
from driftline.baseline.constraints import FeatureConstraints, MonitoringConfig
from driftline.baseline.origin import (
    OF_BATCH,
    OF_FILE,
    OF_FOLDERS,
    OF_TIME,
    misfits,
    new_default,
)
from driftline.baseline.predicate import LAST_TIME, Predicate, number_text, time_text
from driftline.baseline.texts import shortened
from driftline.baseline.times import SECOND
from driftline.formats.json.jackson import java_double
from driftline.monitors.day_test.day_test import DayFinding
from driftline.monitors.drift_test.budget import TOLERANCE
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.significance import likelihood_ratio, unseen_share
from driftline.monitors.kinds.data_quality.flatline_check import GONE_SHARE, Standstill
from driftline.monitors.kinds.data_quality.range_checks import Implausible
from driftline.monitors.results.feature import distance_words
from driftline.monitors.results.violation import DAY_CHECK, DRIFT_CHECK, Draft, percent, plural
from driftline.signature import Column
from driftline.stats.changed_levels import LEVELS_MOST
from driftline.stats.day_scores import CLOCK_COS, CLOCK_SIN, LEVEL, ROUGH, SPREAD

NOT_OF_TYPE = {
    "int64": "not whole numbers",
    "double": "not numbers",
    "bool": "neither true nor false",
    "timestamp": "not times",
}
# What the public documents call String has a type of its own here.
OWN_TYPES = {"bool": "Boolean", "timestamp": "Timestamp"}
# What a column that is not judged holds, by the reason.
ORIGINS = {
    OF_TIME: "day or time",
    OF_FOLDERS: "day",
    OF_FILE: "name of a file",
    OF_BATCH: "name of a batch",
}
SHOWN_ORIGINS = 3
# By score of the day test: what lies above what is expected, and what below.
MOVED = "the daily cycle lies elsewhere"
DAY_WORDS = {
    LEVEL: ("values lie higher", "values lie lower"),
    CLOCK_COS: (MOVED, MOVED),
    CLOCK_SIN: (MOVED, MOVED),
    ROUGH: ("values move more from row to row", "values move less from row to row"),
    SPREAD: ("values spread more within a day", "values spread less within a day"),
}
# One new text alone as often as only a default or a renamed one comes.
DEFAULT_ROWS, DEFAULT_SHARE = 10, 0.05
# So many rows at rare texts that others were never seen by chance.
RARE_COUNT, RARE_SHARE = 5, 0.01
# A level that keeps more of its rows does not come as another one.
LEFT = 0.05


@dataclass(frozen=True, slots=True)
class CheckedColumn:
    """One column of a window, what is asked of it, and what is known of it."""

    column: Column
    constraint: FeatureConstraints
    config: MonitoringConfig
    profile: ColumnProfile
    reference: ColumnProfile | None
    drift: ColumnDrift | None  # The verdict of the drift test; None where it has none.
    alpha: float  # The p-value below which a column is a violation.


def mismatch_draft(
    name: str,
    expected: str,
    ratio: float,
    config: MonitoringConfig,
    *,
    wrong: str,
    predicate: Condition | None,
) -> Draft | None:
    """Describe, in SageMaker's words, that too few values have the column's type."""
    if ratio >= config.datatype_check_threshold:
        return None
    wanted = java_double(config.datatype_check_threshold * 100)
    return Draft(
        feature=name,
        check="data_type_check",
        description=(
            "Data type match requirement is not met. "
            f"Expected data type: {expected}, Expected match: {wanted}%. "
            f"Observed: Only {java_double(ratio * 100)}% of data is {expected}."
        ),
        what=f"{percent(1 - ratio)} of values {wrong}",
        predicate=predicate,
        share=1 - ratio,
    )


def type_draft(one: CheckedColumn) -> Draft | None:
    """Require a share of values of the expected type; misfits in the reference are accepted."""
    column, config, profile = one.column, one.config, one.profile
    expected, present = one.constraint.inferred_type, profile.present_count
    if column.type in OWN_TYPES and expected in ("String", "Boolean"):
        expected = OWN_TYPES[column.type]
    # Text may well look like numbers, such as postal codes, unless the reference's were numbers.
    is_not_text = expected == "String" and profile.is_number and profile.unfit_count == 0
    if expected == "Unknown" or present == 0 or (expected == "String" and not is_not_text):
        return None
    fitting = 0.0 if is_not_text else _fitting_share(profile, expected)
    if one.reference is not None:
        usual = _fitting_share(one.reference, expected)
        is_usual = usual < config.datatype_check_threshold
        if is_usual and not _has_more_misfits(one, fitting, usual, one.reference.present_count):
            return None
    wrong = (
        "numbers, not text" if is_not_text else NOT_OF_TYPE.get(column.type, "not of their type")
    )
    return mismatch_draft(
        column.name,
        expected,
        fitting,
        config,
        wrong=wrong,
        predicate=Predicate(column.name, "unfit", column.type) if profile.unfit_count else None,
    )


def _fitting_share(profile: ColumnProfile, expected: str) -> float:
    """Return the share of values of a type; integers are numbers, too."""
    fitting = profile.present_count - profile.unfit_count
    if expected == "Integral" and profile.type == "double":
        fitting = profile.integral_count
    return fitting / profile.present_count if profile.present_count else 1.0


def _has_more_misfits(one: CheckedColumn, fitting: float, usual: float, known: int) -> bool:
    """Whether more values are unfit than in the reference, beyond chance and tolerance."""
    if one.drift is not None and one.profile.unfit_count:
        return one.drift.unfit_likelihood_ratio > one.drift.critical_value
    rows = one.profile.present_count
    return _is_more(1.0 - usual, known, 1.0 - fitting, rows, one.alpha, slack=TOLERANCE)


def origin_draft(one: CheckedColumn) -> Draft | None:
    """Require an unjudged column of days, files or batches to hold such values."""
    column, config, profile, reference = one.column, one.config, one.profile, one.reference
    if column.type == "timestamp" and column.unjudged == OF_TIME and reference is not None:
        return _default_draft(column.name, config, new_default(profile, reference))
    expected = ORIGINS.get(column.unjudged or "")
    counts = profile.value_counts()
    if expected is None or column.unjudged is None or not counts:
        return None
    known = [] if reference is None else list(reference.value_counts())
    wrong = sorted(misfits(column.unjudged, list(counts), known), key=lambda text: -counts[text])
    shown = tuple(wrong[:SHOWN_ORIGINS])
    listed = ", ".join(f'"{text}"' for text in shown) + (", …" if len(wrong) > len(shown) else "")
    draft = mismatch_draft(
        column.name,
        expected,
        1 - sum(counts[text] for text in wrong) / sum(counts.values()),
        config,
        wrong=f"no {expected} ({listed})",
        predicate=Predicate(column.name, "in", values=shown),
    )
    # Another way to name files and batches wakes nobody.
    if draft is not None and column.unjudged in (OF_FILE, OF_BATCH):
        return replace(draft, severity="ticket")
    return draft


def _default_draft(
    name: str, config: MonitoringConfig, found: tuple[int, float] | None
) -> Draft | None:
    """Report a time far from all of the reference's that many rows share."""
    if found is None:
        return None
    at, share = found
    if at < LAST_TIME:
        predicate = Predicate(name, "between", time_text(at), below=time_text(at + SECOND))
    else:
        predicate = Predicate(name, "ge", time_text(LAST_TIME))
    draft = mismatch_draft(
        name,
        "time near the reference's",
        1 - share,
        config,
        wrong=f"{predicate.phrase} (ten years or more from all of the reference's)",
        predicate=predicate,
    )
    return None if draft is None else replace(draft, severity="ticket")


def completeness_draft(one: CheckedColumn, *, is_gone: bool) -> Draft | None:
    """Require a share of rows with a value."""
    constraint, profile, reference, drift = one.constraint, one.profile, one.reference, one.drift
    if constraint.completeness is None or profile.completeness >= constraint.completeness:
        return None
    surprising = is_gone or (
        drift is not None and drift.null_likelihood_ratio > drift.critical_value
    )
    observed = (
        reference is not None
        and reference.row_count > 0
        and reference.completeness == constraint.completeness
    )
    if observed and constraint.completeness < 1 and not surprising:
        # The share that the reference happened to have is no promise: chance goes below it in
        # every second window.
        return None
    missing = 1 - profile.completeness
    rows = reference.row_count if reference is not None else 0
    is_news = observed and _is_news(0, rows, missing, profile.row_count, one.alpha)
    if observed and not is_news:
        return None  # Nor is that it had none at all: a first gap comes some day.
    if drift is None and missing >= GONE_SHARE:
        surprising = surprising or is_news  # A key that is gone, though no test judges its values.
    return Draft(
        feature=constraint.name,
        check="completeness_check",
        description=value_text(profile.completeness),
        what=f"{percent(missing)} of rows empty (reference {percent(1 - constraint.completeness)})",
        predicate=Predicate(constraint.name, "null"),
        share_reference=1 - constraint.completeness,
        share=missing - (1 - constraint.completeness),
        surprising=surprising,
    )


def domain_draft(one: CheckedColumn, *, is_seasoned: bool) -> Draft | None:
    """Require a share of texts from the known domain.

    One new frequent text is reported where the reference has seen all seasons and has no rare
    texts, whatever the column's weekly variation: no week had it.
    """
    constraint, profile, reference, drift = one.constraint, one.profile, one.reference, one.drift
    fitting = profile.present_count - profile.unfit_count
    if constraint.domains is None or fitting == 0 or profile.is_number:
        return None
    # Truth values are known as "true" and "false", however the document writes them.
    is_flag = profile.type == "bool"
    domains = tuple(text.casefold() if is_flag else text for text in constraint.domains)
    inside = pc.is_in(profile.levels.values, value_set=shortened(pa.array(domains, pa.string())))
    known = int(profile.levels.counts[inside.to_numpy(zero_copy_only=False)].sum())
    ratio = known / fitting
    if ratio >= one.config.domain_content_threshold:
        return None
    observed = reference is not None and set(reference.levels.values.to_pylist()) == set(domains)
    if drift is not None:
        surprising = drift.unseen_likelihood_ratio > drift.critical_value
    else:
        surprising = reference is not None and _is_news(
            int(np.sum(reference.levels.counts == 1)), reference.present_count,
            1 - ratio, fitting, one.alpha,
        )  # fmt: skip
    if is_seasoned and reference is not None and reference.levels.is_exact:
        new = ~inside.to_numpy(zero_copy_only=False)
        surprising = surprising or (
            _is_default(profile.levels.counts, new) and not _has_rare_texts(reference.levels.counts)
        )
    if observed and not surprising:
        # The list that the reference happened to show is no promise: a rare value comes for the
        # first time some day.
        return None
    return Draft(
        feature=constraint.name,
        check="categorical_values_check",
        description=value_text(ratio),
        what=f"{percent(1 - ratio)} of values never seen in the reference",
        predicate=Predicate(constraint.name, "not_in", values=domains),
        share=1 - ratio,
        surprising=surprising,
    )


def _is_default(counts: NDArray[np.int64], new: NDArray[np.bool_]) -> bool:
    """Whether one new text is as frequent as only a default or a renamed one is."""
    most = counts[new].max(initial=0)
    return bool(most >= DEFAULT_ROWS and most >= DEFAULT_SHARE * counts.sum())


def _has_rare_texts(counts: NDArray[np.int64]) -> bool:
    """Whether a reference has too many rare texts for unseen ones to be news."""
    return bool(counts[counts < RARE_COUNT].sum() > RARE_SHARE * counts.sum())


def _is_news(once: int, known: int, share: float, rows: int, alpha: float) -> bool:
    """Whether more values are new than chance brings."""
    foretold = float(np.minimum(unseen_share(once, known), share))
    return _is_more(foretold, known, share, rows, alpha)


def _is_more(
    usual: float, known: int, share: float, rows: int, alpha: float, *, slack: float = 0.0
) -> bool:
    """Whether a share of rows exceeds the reference's by more than chance and a tolerance."""
    free = 2.0 * slack * math.sqrt(usual * (1.0 - usual))
    found = likelihood_ratio(
        np.array([usual]), max(known, 1), np.array([share]), rows, tolerance=free
    )
    return share > usual and bool(found[0] > math.log(2.0 / alpha))


def constant_draft(name: str, found: Standstill) -> Draft:
    """Report a constant column; SageMaker has no such check."""
    what = (
        f"{found.length:,} times in a row {number_text(found.value)} "
        f"(reference at most {found.usual:,})"
    )
    return Draft(
        feature=name,
        check="constant_check",
        description=f"Values stay the same for longer than in the reference: {what}.",
        what=what,
        predicate=Predicate(name, "eq", found.value),
    )


def drift_draft(drift: ColumnDrift, constant: float | None) -> Draft:
    """Describe a drift, and the one value of a column that has become constant.

    SageMaker's page parses the distance from the text.
    """
    always = "" if constant is None else f"always {number_text(constant)}: "
    if drift.measured is not None:
        always += f"{distance_words(drift.measured.name, drift.distance, drift.bound)}: "
    return Draft(
        feature=drift.column,
        check=DRIFT_CHECK,
        description=(
            f"Baseline drift distance: {drift.distance!r} exceeds threshold: {drift.bound!r}"
        ),
        what=f"{always}{_change_words(drift)}{drift.over_windows}",
        predicate=drift.predicate,
        share_reference=drift.share_reference,
        ratio=drift.distance / drift.bound,
        share=drift.share_window - drift.share_reference,
        since=drift.since if drift.window_count > 1 else None,
    )


def _change_words(drift: ColumnDrift) -> str:
    """Describe which set of rows, or which levels, became more or less frequent."""
    others = drift.levels[1:]
    is_level = [one.phrase.startswith("= ") for one in drift.levels]
    if any(is_level) and all(is_level) and not any(one.share_window for one in drift.levels):
        names = [
            f"{one.phrase.removeprefix('= ')} (reference {percent(one.share_reference)})"
            for one in drift.levels
        ]
        gone = f"level{'s' * bool(others)} {' and '.join(names)} gone"
        return f"{gone}, the others keep their proportions" if drift.others_kept else gone
    found = (
        f"{percent(drift.share_window)} of rows {drift.predicate.phrase} "
        f"(reference {percent(drift.share_reference)})"
    )
    for one in others:
        found += f", {percent(one.share_window)} {one.phrase} ({percent(one.share_reference)})"
    if len(others) + 1 >= LEVELS_MOST and not drift.others_kept:
        return f"{found}, and more levels changed"
    is_loss = drift.share_window < drift.share_reference
    return f"{found}, the others keep their proportions" if is_loss and drift.others_kept else found


def is_renamed(drift: ColumnDrift) -> bool:
    """Whether all rows of one level come as another, in the segment of the old one."""
    if len(drift.levels) != 2:
        return False
    gain, loss = drift.levels
    gained = gain.share_window - gain.share_reference
    lost = loss.share_reference - loss.share_window
    chance = 3 * math.sqrt(max(gained, 0.0) / max(drift.window_counts.sum(), 1.0))
    return (
        gained > 0
        and loss.phrase.startswith("= ")
        and abs(gained - lost) <= max(gained / 5, chance)
        and loss.share_window <= LEFT * loss.share_reference
    )


def day_words(found: DayFinding) -> str:
    """Describe how days differ from those expected by the calendar."""
    sign, unit = math.copysign(1.0, found.mean), "sd"
    sizes = [sign * one for one in (found.mean, *found.interval)]
    if found.is_level:
        unit, sizes = "points", [100.0 * found.unit * one for one in sizes]
    size, low, high = (f"{one:.2g}" for one in (sizes[0], *sorted(sizes[1:])))
    words = f"more rows {found.score}", f"fewer rows {found.score}"
    change = DAY_WORDS.get(found.score, words)[sign < 0]
    return (
        f"{change} than {found.explained} lead to expect, by {size} {unit} "
        f"(95%: {low} to {high}), over {plural(found.days, 'day')}"
    )


def day_draft(found: DayFinding) -> Draft:
    """Report days that differ from the reference's; SageMaker has no such check."""
    what = day_words(found)
    return Draft(
        feature=found.column,
        check=DAY_CHECK,
        description=f"Days differ from the reference's: {what}.",
        what=what,
        severity="ticket",
        since=found.since,
    )


def implausible_draft(odd: Implausible) -> Draft:
    """Report implausible values; SageMaker has no such check."""
    shares = (
        f"{percent(odd.share_window)} of rows {odd.predicate.phrase} "
        f"(reference {percent(odd.share_reference)})"
    )
    if odd.unit is None:
        check, description = "range_check", f"Values far outside the reference's range: {shares}."
    else:
        place = f" where {odd.where}" if odd.where else ""
        check = "unit_change_check"
        description = (
            f"Unit change suspected: {odd.unit.name}{place}. Distribution distance "
            f"{odd.unit.distance_before!r} falls to {odd.unit.distance_after!r} when converted."
        )
    return Draft(
        feature=odd.column,
        check=check,
        description=description,
        what=shares,
        predicate=odd.predicate,
        share_reference=odd.share_reference,
        share=odd.share_window,
        unit=odd.unit,
    )


def value_text(value: float) -> str:
    """Return SageMaker's text; the final blank is its analyzer's empty hint."""
    return f"Value: {java_double(value)} does not meet the constraint requirement! "
