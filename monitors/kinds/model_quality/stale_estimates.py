"""Why estimates of a window do not hold: another model answered than they were learnt of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from driftline.capture.windows.window import Window
from driftline.monitors.answering_models import Served, answered_in, are_known, changes
from driftline.monitors.check_context import CheckContext
from driftline.monitors.results.violation import plural

RESUME = (
    "estimates resume with a baseline made since of the model that answers now: of its labelled "
    "rows, or of a file that it has scored (of the same file once more: under a new name)"
)
UNWEIGHTED = (
    "the baseline is of what callers got, and this variant is another model; it is estimated when "
    "it has weight, with a baseline made since then, of its labelled rows or under a new name"
)


def why_other_model(context: CheckContext) -> str:
    """Return that other models answered the window's rows than estimates are learnt of; or ""."""
    facts = context.rows.facts
    return "" if facts is None else changed(context.served, context.past.calibrated, facts.window)


def changed(served: Sequence[Served], calibrated: Sequence[Window], window: Window) -> str:
    """Return that a window's models are none of those that estimates hold of; "" if they are.

    Parameters
    ----------
    served
        Which models answered since when. Baselines of a time before are of the first ones.
    calibrated
        When the answers came about that estimates were learnt of.
    """
    answered = changes(answered_in(served, window))
    known = [one for span in calibrated for one in answered_in(served, span) or served[:1]]
    if not (answered and known) or are_known(answered, [one.baselines for one in known]):
        return ""
    first = answered[0]
    if are_known(answered, [one.models for one in known]):
        return UNWEIGHTED
    if within := answered[1:]:
        again, models = "", "both models"
        if len(within) > 1:
            again, models = f" and {plural(len(within) - 1, 'more time')}", "several models"
        since, words = within[0].since, f"{again}, within this window: it may hold rows of {models}"
    elif first.since > known[-1].since:
        since, words = first.since, ", after the baseline was made"
    elif first.since < known[0].since:
        since = served[served.index(first) + 1].since
        return (
            f"the model was changed on {_shown(since)}, after this window, and the baseline is of "
            "a later model"
        )
    else:
        since, words = known[1].since, ", while the rows came that the baseline has labels of"
    return f"the model was changed on {_shown(since)}{words}; {RESUME}"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
