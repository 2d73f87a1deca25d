"""A report as JUnit XML, for those who show test results: Jenkins, GitLab, GitHub's actions.

One case a feature, whatever it breaks, so that its history goes on from run to run; one failure
element in it, since GitLab shows the first alone. No times: equal rows give equal bytes.

References
----------
Jenkins xUnit plug-in, junit-10.xsd, which the tests hold the result against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from driftline.monitors.report.ranking import ViolatedFeature, violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import INSUFFICIENT


def junit(reports: Iterable[Report], refused: Mapping[str, str] | None = None) -> str:
    """Write reports as JUnit XML: one case for each feature or metric, a failure if violated.

    A report that could not be decided is one error, so that nobody reads it as passed; so is each
    kind by which the rows could not be judged, with why.
    """
    root = Element("testsuites", {"name": "driftline"})
    for report in reports:
        _suite(root, report)
    for kind, why in (refused or {}).items():
        suite = _add(
            root, "testsuite", {"name": f"driftline {kind}", "tests": 1, "failures": 0, "errors": 1}
        )
        _error(suite, kind, why)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.attrib[count]) for suite in root)))
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Element, report: Report) -> None:
    # A violated metric is a case under the name that its violation has.
    names = [one.feature for one in report.results]
    names += [one.shown for one in report.metrics if not one.violated]
    broken = {one.feature: one for one in violated_features(report.violations)}
    cases = list(dict.fromkeys([*names, *broken]))
    skipped = dict.fromkeys(report.insufficient_data, INSUFFICIENT)
    skipped |= {one.feature: one.note for one in report.results if one.note}
    skipped |= {one.shown: one.note for one in report.metrics if one.note and not one.violated}
    # With what would help, such as how many more rows.
    skipped |= {one.name: f"{one.reason}: {one.remedy}" for one in report.unjudged if one.remedy}
    counts = {
        "tests": len(cases) + (not report.decided),
        "failures": len(broken),
        "errors": int(not report.decided),
        "skipped": len(skipped.keys() & set(cases) - broken.keys()),
    }
    suite = _add(root, "testsuite", {"name": f"driftline {report.kind}", **counts})
    found: dict[str, object] = {"rows": report.row_count, "baseline": report.baseline_version}
    found["headline"] = report.headline if report.decided else report.summary
    if report.window is not None:
        found["window"] = report.window
    properties = _add(suite, "properties", {})
    for name, value in found.items():
        _add(properties, "property", {"name": name, "value": value})
    if not report.decided:
        _error(suite, report.kind, report.summary)
    for name in cases:
        case = _add(suite, "testcase", {"classname": f"driftline.{report.kind}", "name": name})
        if name in broken:
            _failure(case, broken[name])
        elif name in skipped:
            _add(case, "skipped", {"message": skipped[name]}, skipped[name])


def _failure(case: Element, broken: ViolatedFeature) -> None:
    """Describe all that happened to a feature; the loudest names the failure."""
    first, lines = broken.findings[0], []
    for finding in broken.findings:
        rows = f" ({finding.first.row_count:,} rows)" if finding.first.row_count else ""
        lines.append(f"{', '.join(finding.checks)}: {finding.cause}{rows}")
        if finding.first.description != finding.cause:
            lines.append(f"  {finding.first.description}")
    message = f"{broken.severity}: {first.cause}"
    about = {"type": first.checks[0], "message": message}
    _add(case, "failure", about, "\n".join(lines))


def _error(suite: Element, kind: str, why: str) -> None:
    case = _add(suite, "testcase", {"classname": f"driftline.{kind}", "name": "decided"})
    _add(case, "error", {"type": "undecided", "message": why}, why)


def _add(
    parent: Element, tag: str, attributes: Mapping[str, object], text: str | None = None
) -> Element:
    """Add an element; why a case did not pass is its text, too, since GitLab shows that alone."""
    found = SubElement(parent, tag, {key: _clean(str(one)) for key, one in attributes.items()})
    found.text = None if text is None else _clean(text)
    return found


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return "".join(sign for sign in text if sign in "\t\n" or " " <= sign < "\ud800" or
                   "\ue000" <= sign <= "\ufffd" or sign >= "\U00010000")  # fmt: skip
