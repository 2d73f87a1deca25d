"""A report as JUnit XML, for those who show test results: Jenkins, GitLab, GitHub's actions.

One case a feature, whatever it breaks, so that its history goes on from run to run; one failure
element in it, since GitLab shows the first alone. No times: equal rows give equal bytes.

References
----------
Jenkins xUnit plug-in, junit-10.xsd, which the tests hold the result against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from driftline.monitors.report.ranking import ViolatedFeature, violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import INSUFFICIENT


def junit(reports: Iterable[Report], refused: Mapping[str, str] | None = None) -> str:
    """Write reports as JUnit XML: one case for each feature or metric, a failure if violated.

    A report that could not be decided is one error, so that nobody reads it as passed; so is each
    kind by which the rows could not be judged, with why.
    """
    root = ElementTree.Element("testsuites", {"name": "driftline"})
    for report in reports:
        _suite(root, report)
    for kind, why in (refused or {}).items():
        counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": f"driftline {kind}", **counts})
        _error(suite, kind, why)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.attrib[count]) for suite in root)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, report: Report) -> None:
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
        "tests": str(len(cases) + (not report.decided)),
        "failures": str(len(broken)),
        "errors": str(int(not report.decided)),
        "skipped": str(len(skipped.keys() & set(cases) - broken.keys())),
    }
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": f"driftline {report.kind}", **counts}
    )
    _properties(suite, report)
    if not report.decided:
        _error(suite, report.kind, report.summary)
    for name in cases:
        case = _case(suite, report.kind, name)
        if name in broken:
            _failure(case, broken[name])
        elif name in skipped:
            _result(case, "skipped", skipped[name])


def _properties(suite: ElementTree.Element, report: Report) -> None:
    found = {"rows": str(report.row_count), "baseline": report.baseline_version}
    found["headline"] = report.headline if report.decided else report.summary
    if report.window is not None:
        found["window"] = str(report.window)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in found.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))


def _case(suite: ElementTree.Element, kind: str, name: str) -> ElementTree.Element:
    classname = f"driftline.{kind}"
    return ElementTree.SubElement(suite, "testcase", classname=classname, name=_clean(name))


def _failure(case: ElementTree.Element, broken: ViolatedFeature) -> None:
    """Describe all that happened to a feature; the loudest names the failure."""
    findings = broken.findings
    first = findings[0]
    failure = ElementTree.SubElement(
        case, "failure", type=first.checks[0], message=_clean(f"{broken.severity}: {first.cause}")
    )
    lines = []
    for finding in findings:
        rows = f" ({finding.first.row_count:,} rows)" if finding.first.row_count else ""
        lines.append(f"{', '.join(finding.checks)}: {finding.cause}{rows}")
        if finding.first.description != finding.cause:
            lines.append(f"  {finding.first.description}")
    failure.text = _clean("\n".join(lines))


def _error(suite: ElementTree.Element, kind: str, why: str) -> None:
    _result(_case(suite, kind, "decided"), "error", why, type="undecided")


def _result(case: ElementTree.Element, tag: str, why: str, **attributes: str) -> None:
    """Add why a case did not pass, as attribute and as text: GitLab shows the text alone."""
    found = ElementTree.SubElement(case, tag, {"message": _clean(why), **attributes})
    found.text = _clean(why)


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return "".join(sign for sign in text if sign in "\t\n" or " " <= sign < "\ud800" or
                   "\ue000" <= sign <= "�" or sign >= "\U00010000")  # fmt: skip
