"""The figure of one alarm: its metric over time, the threshold, and the states behind it; pure."""

from __future__ import annotations

from collections.abc import Sequence

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.alarm_timeline import UNKNOWN
from driftline.alerts.evaluation.preview import AlarmPoint, StateSpan
from driftline.dashboard.charts import canvas
from driftline.dashboard.words import STATES, moment, number
from driftline.monitors.report.metric_words import metric_words

GROUNDS = {
    "ALARM": "rgba(213,94,0,0.20)",
    "OK": "rgba(0,158,115,0.13)",
    "INSUFFICIENT_DATA": "rgba(125,136,148,0.20)",
}
BAND = "rgba(0,114,178,0.55)"
BAND_GROUND = "rgba(0,114,178,0.14)"
MANY = 120
"""So many periods or more are drawn as small points."""

NAMED_SHARE = 0.045
"""A stretch of this part of the time axis or more has room for its sign."""

LANE = (0.0, 0.07)
"""The states stand once more as a lane of their own below the metric."""


def alarm_figure(
    rule: AlarmDefinition, among: Sequence[AlarmPoint], spans: Sequence[StateSpan],
    height_px: int = 270,
) -> canvas.Figure:  # fmt: skip
    """Draw the periods of an alarm's metric; breaching ones are triangles, decisive ones ringed.

    A click on a point opens the window that it measures, where there is one.
    """
    points = [point for point in among if point.value is not None]
    small = 6 if len(points) < MANY else 3
    decided = [point for point in points if point.decided]
    ring = canvas.markers(*_line(decided), "circle-open", canvas.GREY, 16, edge=2, name="decided")
    within, breaching = ([one for one in points if one.breaching == is_so]
                         for is_so in (False, True))  # fmt: skip
    metric = metric_words(rule.judged_name, rule.dimensions)
    data = [
        *([canvas.lines(*_line(points), canvas.GREY)] if len(points) > 1 else []),
        *_band(points),
        ring,
        _marks("within", "circle", canvas.GREY, small, within, metric),
        _marks("breaching", "triangle-up", canvas.HARD, 9, breaching, metric),
    ]
    limits = [] if rule.threshold is None else [rule.threshold]
    values = [edge for one in points for edge in (one.value, one.lower, one.upper)] + limits
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    room = (high - low or abs(high) or 1.0) * 0.12
    start = among[0].start
    end = max([among[-1].end, *(span.end for span in spans)])
    margin = (end - start) / 80
    ends = [canvas.naive(start - margin), canvas.naive(end + margin)]
    drawn = canvas.layout(
        height_px, 52, 12, 8, 38,
        xaxis=canvas.date_axis(range=ends, anchor="free", position=0),
        yaxis=canvas.axis(domain=[0.13, 1.0], range=[low - room, high + room], nticks=5),
        shapes=[
            *(canvas.level(limit, colour=canvas.HARD) for limit in limits),
            *(shape for span in spans for shape in _shapes(span)),
        ],
        annotations=_signs(spans),
    )  # fmt: skip
    return {"data": data, "layout": drawn}


def _shapes(span: StateSpan) -> list[canvas.Figure]:
    """Shade a stretch behind the metric, and fill it in the lane; what is unknown is framed."""
    colour = GROUNDS.get(span.state, GROUNDS["INSUFFICIENT_DATA"])
    start, end = canvas.naive(span.start), canvas.naive(span.end)
    ends: canvas.Figure = {"x0": start, "x1": end, "yref": "paper"}
    if span.state == UNKNOWN:
        edge = {"width": 1, "color": canvas.GREY, "dash": "dot"}
        return [canvas.rectangle(canvas.CLEAR, y0=LANE[0], y1=LANE[1], **ends) | {"line": edge}]
    ground = canvas.rectangle(colour, y0=0.13, y1=1, **ends)
    lane = canvas.rectangle(colour, y0=LANE[0], y1=LANE[1], **ends)
    return [ground, lane] if span.state == "ALARM" else [ground | {"opacity": 0.55}, lane]


def _signs(spans: Sequence[StateSpan]) -> list[canvas.Figure]:
    """Put each state's sign into the lane where there is room, so that no colour stands alone."""
    if not spans:
        return []
    whole = (spans[-1].end - spans[0].start).total_seconds() or 1.0
    return [
        {
            "xref": "x",
            "yref": "paper",
            "x": canvas.middle(span),
            "y": sum(LANE) / 2,
            "yanchor": "middle",
            "showarrow": False,
            "text": STATES.get(span.state, ("…", "", ""))[0],
            "font": {"size": 10},
        }
        for span in spans
        if (span.end - span.start).total_seconds() / whole >= NAMED_SHARE
    ]


def _band(points: Sequence[AlarmPoint]) -> list[canvas.Figure]:
    """Fill between the borders of the band; periods without one leave a gap."""
    known = [one for one in points if one.lower is not None and one.upper is not None]
    if not known:
        return []
    times, fill = _line(known)[0], {"fill": "tonexty", "fillcolor": BAND_GROUND}
    lower = canvas.lines(times, [one.lower for one in known], BAND, name="lower")
    return [lower, canvas.lines(times, [one.upper for one in known], BAND, name="upper") | fill]


def _line(points: Sequence[AlarmPoint]) -> tuple[list[str], list[float | None]]:
    """Return when points stand, in the middle of their periods, and how high."""
    times = [canvas.middle(point) for point in points]
    return times, [point.value for point in points]


def _marks(
    name: str, symbol: str, colour: str, size: int, points: Sequence[AlarmPoint], metric: str
) -> canvas.Figure:
    return canvas.markers(
        *_line(points), symbol, colour, size, name=name,
        customdata=[point.link or "" for point in points],
        hovertext=[_story(point, metric) for point in points],
    )  # fmt: skip


def _story(point: AlarmPoint, metric: str) -> str:
    story = [f"<b>{moment(point.start)}</b>", f"{canvas.safe(metric)} {number(point.value)}"]
    if point.breaching:
        story.append("breaches the threshold")
    if point.words:
        story.append(canvas.short(point.words, 80))
    return "<br>".join(story)
