"""Pages of model quality, bias and attribution, against metrics that are known to the digit."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.dashboard.address import parse
from driftline.dashboard.pages import endpoint
from driftline.dashboard.pages import measured as page_of
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.attribution import attribution_parts
from driftline.dashboard.pages.bias import sentence
from driftline.dashboard.pages.windows import counts_words
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.words import sentence as sentence_of
from driftline.errors import NotFoundError
from driftline.monitors.kind import kind_named
from driftline.monitors.report.metric_words import metric_words
from driftline.monitors.results.history import MetricHistory
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.shown import moves
from driftline.monitors.results.unjudged import unjudged_metrics, unjudged_sentence
from driftline.monitors.run.report_document import read_report
from driftline.roles import Roles
from tests.dashboard.measured_seed import FEATURES, HOSTILE, MAKERS, WEEKS, quality_metrics
from tests.dashboard.policed_seed import texts

MONITORS = {"model-quality": "flights-quality", "bias": "flights-bias",
            "attribution": "flights-attribution"}  # fmt: skip


def auc_of(value):
    """Return an AUC within its bound, beside 0.7 in the reference."""
    return MetricResult(
        "auc", value, low=value - 0.02, high=value + 0.02, reference=0.7, reference_low=0.68,
        reference_high=0.72, bound=0.5, operator="LessThanThreshold",
    )  # fmt: skip


@pytest.fixture
def stores(measured):
    return Stores(measured.engine, measured.root, measured.now)


def test_metrics_come_back_from_the_document_as_they_went_in(stores):
    view = stores.measured("flights-quality", "20130909T000000Z", None)

    told = {line.name: line for line in view.found.metrics}
    for made in quality_metrics(10):
        found = told[made.name]
        for field in ("value", "low", "high", "reference", "bound", "severity", "note", "count"):
            assert getattr(found, field) == pytest.approx(getattr(made, field)), field
    assert told["log_loss"].value == math.inf


@pytest.mark.parametrize("kind", list(MONITORS))
def test_history_holds_the_values_of_every_window(stores, kind):
    view = stores.measured(MONITORS[kind], None, None)
    judged = WEEKS - 2 if kind == "model-quality" else WEEKS

    made = [
        next(one for one in MAKERS[kind](week) if _key(one) == view.chosen.key)
        for week in range(judged)
    ]

    blank = [np.nan] * (WEEKS - judged)
    history = view.history
    np.testing.assert_allclose(history.value, [*(one.value for one in made), *blank])
    np.testing.assert_allclose(history.low, [*(one.low for one in made), *blank])
    np.testing.assert_allclose(history.bound, [*(one.bound for one in made), *blank])
    assert history.violated.tolist() == [*(one.violated for one in made), *(False for _ in blank)]


def _key(one):
    group = f"{one.facet}={one.facet_value}" if one.facet else ""
    return " / ".join(part for part in (one.name, group, one.label) if part)


def test_gravest_violation_is_drawn_when_nobody_chose(stores):
    assert stores.measured("flights-quality", None, None).chosen.name == "brier_skill"
    assert stores.measured("flights-bias", None, None).chosen.group == f"origin={HOSTILE}"


def test_first_metric_of_the_kind_is_drawn_when_all_is_well(stores):
    assert stores.measured("flights-quality", "20130701T000000Z", None).chosen.name == "auc"
    assert stores.measured("flights-bias", "20130701T000000Z", None).chosen.name == "DPPL"
    assert stores.measured("flights-attribution", "20130701T000000Z", None).chosen.name == "ndcg"


def test_metric_of_the_address_is_drawn_and_kept(stores):
    view = stores.measured("flights-bias", None, "DI / origin=EWR")

    assert (view.chosen.name, view.chosen.facet_value) == ("DI", "EWR")
    assert "keep=DI+%2F+origin%3DEWR" in str(page_of.page(view))


def test_unknown_metric_is_not_found_but_a_kept_one_only_wished_for(stores):
    with pytest.raises(NotFoundError):
        stores.measured("flights-quality", None, "no such metric")

    assert stores.measured("flights-quality", None, None, "no such metric").chosen is not None


def test_labels_are_counted_for_the_kinds_that_need_them(stores):
    quality = stores.measured("flights-quality", None, None)

    assert quality.labels.share[0] == pytest.approx(0.9)
    assert quality.labels.share[13] == pytest.approx((5_400 - 60 * 13) / 6_000)
    words = "77.0% of its rows have a label; the rest may still arrive"
    assert words in str(page_of.page(quality))
    assert stores.measured("flights-attribution", None, None).labels is None


def test_labels_that_do_not_count_are_said_where_there_are_some(stores):
    some = stores.measured("flights-quality", "20130805T000000Z", None)
    none = stores.measured("flights-quality", "20130812T000000Z", None)

    assert (some.found.unfit_label_count, some.found.stray_label_count) == (3, 1)
    assert (
        "Not counted: 3 labels of another type than the reference's and 1 label for a row that the "
        "request does not have"
    ) in str(page_of.page(some))
    assert "Not counted" not in str(page_of.page(none))


def test_windows_without_labels_wait_and_do_not_fail(stores):
    view = stores.measured("flights-quality", None, None)
    waiting = stores.measured("flights-quality", "20131014T000000Z", None)

    # The page opens at the newest window that could be judged.
    assert view.run.stamp == "20130930T000000Z"
    assert waiting.run.state == "unlabelled"
    page = str(page_of.page(waiting))
    assert "Waiting for labels" in page
    assert "driftline truth load" in page
    assert "annot estimate" not in page
    reason = f"{waiting.run.failure}; cannot estimate: the model was changed"
    why = replace(waiting, run=replace(waiting.run, failure=reason))
    assert "'Cannot estimate: the model was changed.'" in str(page_of.page(why))
    # The metric over time is still there, from the other windows.
    assert "'timeline'" in page


def test_metric_without_a_value_says_why(stores):
    page = str(page_of.page(stores.measured("flights-quality", None, None)))

    assert "not defined: no predicted positives" in page
    assert "∞" in page


@pytest.mark.parametrize("kind", list(MONITORS))
def test_what_there_is_to_know_of_the_numbers_is_said_on_the_page(stores, kind):
    view = stores.measured(MONITORS[kind], None, None)
    noted = {
        "answers_note": "left out of the metrics: 3 rows without a prediction, of 90 rows",
        "positive_note": 'positive class: "fraud" (by its word, beside "legit")',
        "model_note": "the model changed",
        "reference_note": "16% of the reference's rows lie far from all others",
        "acme_note": "",
        "threshold": 2.5,
    }
    metrics = [
        {"name": "DI", "value": 0.8, "operator": "GreaterThanThreshold",
         "note": "too_variable: about 2,400 rows would do"},
        {"name": "rmse", "value": 1.3, "unbounded": "tails too heavy"},
    ]  # fmt: skip
    report = read_report({"details": noted, "metrics": metrics})

    page = str(page_of.page(replace(view, report=report)))
    before = str(page_of.page(view))

    for words in (
        "Left out of the metrics: 3 rows without a prediction, of 90 rows.",
        'Positive class: "fraud" (by its word, beside "legit").',
        "The model changed.",
        "16% of the reference's rows lie far from all others.",
        "DI could not be judged (too variable: about 2,400 rows would do).",
        "not judged: too variable to bound: about 2,400 rows would do",
        "tails too heavy",
    ):
        assert words in page.replace("\\'", "'")
        assert words not in before


def test_each_violation_is_told_with_its_metric(stores):
    view = stores.measured("flights-quality", None, None)
    found = [
        {"feature_name": "coverage[0.9]", "cause": "0.34 where the reference has 0.9"},
        {"feature_name": "mae", "cause": "mae 2.4 where the reference has 0.8"},
    ]

    page = str(page_of.page(replace(view, report=read_report({"violations": found}))))

    assert "coverage[0.9]: 0.34 where the reference has 0.9" in page
    assert "mae: mae" not in page


def test_the_verdict_names_metrics_as_the_tiles_do(stores):
    view = stores.measured("flights-quality", None, None)
    run = replace(view.run, cause="brier_skill 0.01 beside estimated_brier_skill")

    page = str(page_of.verdict_of(view, run))

    assert "Brier skill 0.01 beside estimated_brier_skill" in page


def test_why_nothing_could_be_judged_is_said_once(stores):
    view = stores.measured("flights-quality", None, None)
    why = "cannot estimate: 29.2% of the rows lie where the reference has none"
    metrics = (MetricResult("recall", note="insufficient_data"), MetricResult("auc", note=why))
    told = unjudged_sentence(unjudged_metrics(metrics), "metric")
    run = replace(
        view.run, state="insufficient", cause=f"336 rows; nothing could be judged: {told}"
    )
    report = replace(view.found, metrics=metrics, violations=(), notes=(why, "The model changed."))

    page = texts(page_of.verdict_of(replace(view, run=run, report=report), run))

    assert (page.count("29.2%"), page.count("too few rows")) == (1, 1)
    assert "The model changed." in page


def test_confusion_matrix_tells_what_was_taken_for_what(stores):
    view = stores.measured("flights-quality", None, None)

    assert view.found.confusion.classes == ("0", "1")
    assert view.found.confusion.counts.tolist() == [[4_000, 300], [1_020, 80]]
    details = replace(view.found.details, counts_at_thresholds=None)
    page = str(page_of.page(replace(view, report=replace(view.found, details=details))))
    assert "true 1, predicted 0: 1020" in page
    assert "75.6% correct" in page


@pytest.mark.parametrize("found", [None, {}, {"details": 7}, {"details": {"confusion_matrix": []}}])
def test_document_without_a_matrix_gives_none(found):
    assert read_report(found or {}).confusion is None


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.09, 0.07, 0.11, "get fewer positive predictions than the others, by 9 points (7 to 11)"),
        (
            -0.03,
            -0.05,
            -0.01,
            "get more positive predictions than the others, by 3 points (1 to 5)",
        ),
        (0.01, -0.01, 0.03, "no significant difference in positive predictions"),
        (None, None, None, "unknown: too few rows to judge"),
    ],
)
def test_bias_is_said_in_words(value, low, high, words):
    note = "" if value is not None else "insufficient_data"
    line = MetricResult("DPPL", value, low, high, facet="origin", facet_value="JFK", note=note)

    assert sentence(line).startswith("rows with origin = JFK")
    assert words in sentence(line)


def test_ratio_below_one_means_fewer():
    line = MetricResult("DI", 0.73, 0.63, 0.83, facet="sex", facet_value="Female")

    assert "get fewer positive predictions: 0.73 times the others'" in sentence(line)


def test_the_group_that_is_worse_off_stands_out_with_its_size(stores):
    page = str(page_of.page(stores.measured("flights-bias", None, None)))

    assert "Labels come more often for one group" in page
    assert "▲ violation" in page
    assert "2,000 (33.3%)" in page
    assert f"Rows with origin = {HOSTILE} get fewer".lower() in page.lower()


def test_features_that_moved_are_named_with_both_ranks(stores):
    view = stores.measured("flights-attribution", None, None)
    lines = [line for line in view.found.metrics if line.name.startswith("share_")]

    found = {name: (before, now) for name, before, now in moves(lines)}

    assert found["minute"] == (9, 2)
    assert found["carrier"] == (2, 9)
    assert set(found) == set(FEATURES)


def test_each_class_has_ranks_of_its_own_under_its_name(stores):
    view = stores.measured("flights-attribution", None, None)
    shares = {"late": (0.6, 0.4), "on time": (0.4, 0.6)}
    lines = [
        MetricResult(f"share_{name}", now, reference=before, label=label)
        for label, (before, other) in shares.items()
        for name, now in (("hour", 0.4), ("dest", 0.6))
        for before in [before if name == "hour" else other]
    ]

    classes = attribution_parts(replace(view, report=replace(view.found, metrics=lines)), str)
    page = str(classes)

    assert len(classes) == 2
    assert "Rank then and now: late" in page
    assert "Rank then and now: on time" in page
    late, other = ([str(one)] for one in classes)
    assert "<b>hour</b><br>rank 1 in the reference, 2 in the window" in late[0]
    assert "<b>hour</b><br>rank 2 in the reference, 2 in the window" in other[0]


def test_the_class_that_a_models_only_output_is_about_is_named(stores):
    view = stores.measured("flights-attribution", None, None)
    details = replace(view.found.details, positive="late")

    page = str(page_of.page(replace(view, report=replace(view.found, details=details))))

    assert "Rank then and now: late" in page
    assert ", late over all windows" in page
    details = replace(details, positive="1")
    page = str(page_of.page(replace(view, report=replace(view.found, details=details))))
    assert "Rank then and now: class 1" in page


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12, unique=True), st.randoms())
def test_ranks_are_a_permutation(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    lines = [
        MetricResult(f"share_{index}", now, reference=before)
        for index, (now, before) in enumerate(zip(values, shuffled, strict=True))
    ]

    found = moves(lines)

    places = list(range(1, len(values) + 1))
    assert [now for _, _, now in found] == places
    assert sorted(before for _, before, _ in found) == places


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("f0_5_best_constant_classifier", "F0.5, best constant classifier"),
        ("accuracy_majority_classifier", "accuracy, majority classifier"),
    ],
)
def test_metrics_of_a_classifier_that_knows_nothing_are_named_like_the_models(name, words):
    assert metric_words(name, {}) == words


def test_worse_than_the_reference_within_the_bound_is_neither_fine_nor_a_violation(stores):
    view = stores.measured("flights-quality", None, None)
    auc = auc_of(0.6)
    near = replace(auc, name="recall", high=0.69)
    run = replace(view.run, state="ok", violation_count=0, hard_count=0)
    report = replace(view.found, metrics=(auc, near), violations=())
    ends = np.full(len(view.monitor.runs), 0.69)
    ends[:2] = 0.62
    violated = ends * 0 == 1
    violated[1] = True
    history = MetricHistory(auc, ends, ends - 0.02, ends, ends * 0 + 0.5, violated)
    shown = replace(view, run=run, report=report, rows=None, annotations=(), history=history)

    page = str(page_of.page(shown))

    words = "lower than the reference (intervals apart), within the bound"
    assert f"AUC: {words}." in page
    assert page.count("tile soft") == 1
    assert "verdict small soft" in page
    assert np.flatnonzero(history.apart).tolist() == [0]
    assert f"1 in violation, 1 {words}" in page


def test_the_list_of_windows_marks_those_that_are_worse_within_the_bound(measured):
    stores = Stores(measured.engine, measured.root, measured.now)
    monitor = stores.measured("flights-quality", None, None).monitor
    known = {one.execution: one for one in monitor.runs}
    digests = stores.reports.digests(monitor.documents, patience_s=60)
    apart = {
        name
        for name, digest in digests.items()
        for one in digest.metrics.values()
        if one.judged and not one.violated and None not in (one.high, one.reference_low)
        and (one.high < one.reference_low if one.operator == "LessThanThreshold"
             else one.low > one.reference_high)
    }  # fmt: skip
    view = stores.measured("flights-quality", None, None)
    marked = {name for name in apart if known[name].state == "ok"}

    assert {one.execution for one in known.values() if one.worse_count} == apart
    assert marked
    assert len(marked) < sum(one.state == "ok" for one in known.values())
    assert str(page_of.page(view)).count("'Worse'") == len(marked)


def test_a_window_that_failed_is_not_counted_as_judged(stores):
    runs = stores.measured("flights-quality", None, None).monitor.runs
    failed = replace(runs[0], state="failed")

    words = counts_words([*runs[:3], failed])
    assert words == "3 windows judged, 1 not judged, none with violations"
    assert counts_words(runs[9:11]) == "2 windows judged, 1 with violations"


def test_a_cell_of_the_matrix_leads_to_its_rows(stores, as_role):
    roles = Roles(label="late", prediction="guess", probability=("chance",))
    view = replace(stores.measured("flights-quality", None, None), roles=roles)
    run = view.monitor.runs[3]
    view = replace(stores.measured("flights-quality", run.stamp, None), roles=roles)

    page = str(page_of.page(replace(view, threshold=0.25)))

    assert "where=late%3D1%3Bchance%3E%3D0.25" in page
    assert "where=late%21%3D1%3Bchance%3C0.25" in page
    as_role("viewer")
    assert "where=late" not in str(page_of.page(view))


def test_groups_beyond_a_figure_are_folded_below_and_of_very_many_some_are_said(stores):
    view = stores.measured("flights-bias", None, None)
    line = MetricResult("DPPL", 0.1, low=0.0, high=0.2, facet="origin", facet_value="EWR")
    crowd = tuple(replace(line, facet_value=f"g{number}") for number in range(300))

    some, many = (
        str(page_of.page(replace(view, report=replace(view.found, metrics=crowd[:size]))))
        for size in (60, 300)
    )

    assert "Show the other 36 of 60 differences, violations first" in some
    assert "forest-differences-rest" in some
    assert "differences are drawn" not in some
    assert "240 of 300 differences are drawn, violations first; " in many


@pytest.mark.parametrize(
    ("reason", "kind", "record", "told"),
    [
        ("rows.py, line 3: KeyError (record 1,204)", "KeyError", 1204, ["KeyError", "1,204"]),
        ('baseline "flights" has no version "7"', "NotFoundError", None, ["NotFoundError"]),
        ("of a run before types were kept: ValueError (record 7)", None, None, []),
    ],
)
def test_a_failed_run_says_so_with_its_message_type_and_record(stores, reason, kind, record, told):
    view = stores.measured("flights-quality", None, None)
    failed = replace(
        view.run, state="failed", failure=reason, failure_type=kind, failure_record=record,
        violation_count=0,
    )  # fmt: skip

    page = str(page_of.page(replace(view, run=failed, report=None, rows=None)))

    assert "The run failed: this window is not judged (" in page
    assert str(sentence_of(reason)) in page
    assert "No violation" not in page
    assert re.findall(r"Code\('([A-Z][A-Za-z]+Error|[0-9,]+)'\)", page) == told


def test_window_whose_document_is_gone_keeps_its_place_in_time(measured, tmp_path):
    bare = Stores(measured.engine, str(tmp_path), measured.now)

    view = bare.measured("flights-quality", None, None)

    assert view.found.metrics == ()
    assert "retention deleted it" in str(page_of.page(view))


def test_document_of_another_make_is_read_as_far_as_it_goes():
    odd = {
        "metrics": [
            {"name": "auc", "value": [], "count": "x"},
            7,
            {"value": 1, "bound": "x"},
            {"name": "mse", "value": "Infinity"},
        ]
    }

    first, second = read_report(odd).metrics

    assert (first.value, first.count) == (None, 0)
    assert second.value == math.inf


def test_a_kind_whose_panel_is_not_ours_shows_what_its_metrics_mean(stores, monkeypatch):
    kind = replace(kind_named("model-quality"), panels=("acme",))
    monkeypatch.setattr(page_of, "kind_named", lambda _: kind)

    page = str(page_of.page(stores.measured("flights-quality", None, None)))

    assert "What it measures" in page
    assert "the chance that a positive case gets a higher score than a negative one" in page


def test_before_the_first_window_the_page_says_what_to_do(stores):
    view = stores.measured("flights-quality", None, None)
    waiting = replace(view, run=None, monitor=replace(view.monitor, runs=()))

    assert "driftline monitor run flights-quality" in str(page_of.page(waiting))


@pytest.mark.parametrize(
    ("name", "dimensions", "words"),
    [
        ("feature_baseline_drift_temp%C3%A9", {}, "distance of tempé from the reference"),
        ("violations_unit_change_check", {}, "violations: unit changed"),
        (
            "bias_metric_DPPL",
            {"Facet": "sex", "FacetValue": "Female"},
            "difference in positive predictions of sex=Female",
        ),
        ("feature_x", {"ExplainabilityMethod": "KernelShap"}, "attribution of x"),
        ("somebody_elses_metric", {}, "somebody elses metric"),
    ],
)
def test_metrics_are_named_in_words(name, dimensions, words):
    assert metric_words(name, dimensions) == words


def test_the_tiles_begin_with_the_metric_that_the_verdict_is_about(stores):
    view = stores.measured("flights-quality", None, None)
    fine = auc_of(0.7)
    others = [replace(fine, name=name) for name in ("brier_skill", "f1")]
    unjudged = [replace(fine, name=name, bound=None, operator=None, reference_low=None)
                for name in ("precision", "recall")]  # fmt: skip
    worse = replace(fine, name="accuracy", high=0.67, low=0.64, value=0.65)
    run = replace(view.run, state="ok", violation_count=0, hard_count=0)
    report = replace(view.found, metrics=(fine, *others, *unjudged, worse), violations=())

    page = str(page_of.page(replace(view, run=run, report=report, rows=None, annotations=())))
    tiles = re.findall(r"H3\(A\(children='([^']*)'", page)

    assert "Accuracy: lower than the reference" in page
    assert [one.casefold() for one in tiles] == ["accuracy", "auc", "brier skill", "precision"]


def test_the_strip_of_newest_windows_does_not_paint_worse_ones_as_well(stores):
    monitor = stores.measured("flights-quality", None, None).monitor
    worse = tuple(one for one in monitor.runs if one.shown_state == "worse")
    well = replace(worse[0], worse_count=0)

    drawn = ui.strip(replace(monitor, runs=worse))
    ground = drawn.style["background"]

    assert (ground.count("--soft-fill"), ground.count("--ok-fill")) == (len(worse), 0)
    assert "--ok-fill" in ui.strip(replace(monitor, runs=(well,))).style["background"]
    seasonal = replace(well, state="violations", violation_count=1)
    assert ground.count(" 50% no-repeat") == len(worse)
    assert " 67% no-repeat" in ui.strip(replace(monitor, runs=(seasonal,))).style["background"]
    page = str(endpoint.page(stores.endpoint(parse("/endpoints/flights"))))
    newest = page[page.index("H2('Monitors')") :]
    assert "worse than the reference (intervals apart), within the bound" in newest
