"""A report as JUnit XML, for those who show test results: Jenkins, GitLab, GitHub's actions.

One case a feature, so that its history goes on, with one failure: GitLab shows the first alone. No
times: equal rows give equal bytes. The tests hold it against Jenkins' junit-10.xsd.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from driftline.monitors.report.ranking import violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.state import State

# What XML 1.0 cannot hold.
_FOREIGN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Iterable[Report], refused: Mapping[str, str] | None = None) -> str:
    """Write reports as JUnit XML; what could not be decided or judged is an error, no pass."""
    root = Element("testsuites", {"name": "driftline"})
    for report in reports:
        _suite(root, report)
    for kind, why in (refused or {}).items():
        suite = _add(root, "testsuite", name=f"driftline {kind}")
        _result(suite, kind, "decided", "error", "undecided", why)
    for suite in root:
        for count, tag in {
            "tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped",
        }.items():  # fmt: skip
            suite.set(count, str(sum(1 for _ in suite.iter(tag))))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.attrib[count]) for suite in root)))
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Element, report: Report) -> None:
    # A violated metric is a case under the name that its violation has.
    names = [one.feature for one in report.results]
    names += [one.shown for one in report.metrics if not one.violated]
    broken = {one.feature: one for one in violated_features(report.violations)}
    judged = [(one.feature, one.state, one.why) for one in report.results]
    judged += [(one.shown, one.state, one.why) for one in report.metrics]
    skipped = {
        name: ": ".join(filter(None, (state, why)))
        for name, state, why in judged
        if state not in (State.JUDGED, State.BY_DAYS, State.SHOWN) or (state == State.SHOWN and why)
    }
    suite = _add(root, "testsuite", name=f"driftline {report.kind}")
    properties = _add(suite, "properties")
    headline = report.headline if report.decided else report.summary
    found = {"rows": report.row_count, "baseline": report.baseline_version, "headline": headline}
    for name, value in (found | {"window": report.window}).items():
        if value is not None:
            _add(properties, "property", name=name, value=value)
    if not report.decided:
        _result(suite, report.kind, "decided", "error", "undecided", report.summary)
    for name in dict.fromkeys([*names, *broken]):
        if name in broken:
            lines = []
            for finding in broken[name].findings:
                rows = f" ({finding.first.row_count:,} rows)" if finding.first.row_count else ""
                lines.append(f"{', '.join(finding.checks)}: {finding.cause}{rows}")
                if finding.first.description != finding.cause:
                    lines.append(f"  {finding.first.description}")
            first = broken[name].findings[0]  # The loudest names the failure.
            message = f"{broken[name].severity}: {first.cause}"
            text = "\n".join(lines)
            _result(suite, report.kind, name, "failure", first.checks[0], message, text)
        elif name in skipped:
            _result(suite, report.kind, name, "skipped", "skipped", skipped[name])
        else:
            _add(suite, "testcase", classname=f"driftline.{report.kind}", name=name)


def _result(
    suite: Element, kind: str, name: str, tag: str, what: str, message: str, text: str = ""
) -> None:
    """Add a case that did not pass; why is its text, too, since GitLab shows that alone."""
    case = _add(suite, "testcase", classname=f"driftline.{kind}", name=name)
    _add(case, tag, message=message, type=what).text = _FOREIGN.sub("", text or message)


def _add(parent: Element, tag: str, **attributes: object) -> Element:
    return SubElement(
        parent, tag, {key: _FOREIGN.sub("", str(one)) for key, one in attributes.items()}
    )
