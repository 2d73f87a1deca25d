"""No secret that stands where a rule points survives, however the body is written or broken."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from driftline.capture.redaction.bodies import inflated
from driftline.capture.redaction.keys import read_keys
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.spool.frame import Flag, Frame, Kind

KEYS = read_keys("k:0123456789abcdef")
# Long enough that it stands nowhere by chance; with all that escapes and quotes can do to it.
SECRETS = st.text(
    st.one_of(st.sampled_from('abcXYZ 019"\\/,;\n\r\t\u00e9\u2028\U0001f600'), st.characters()),
    min_size=1,
    max_size=12,
).map(lambda text: f"s3cr\u00eft-{text}-\u00ebnd")
ACTIONS = st.sampled_from(
    [
        {"action": "drop"},
        {"action": "null"},
        {"action": "hash"},
        {"action": "mask", "keep": 3},
        {"action": "bucket", "keep": 3},
        {"action": "bucket", "width": 10.0},
    ]
)
NAMES = st.sampled_from(["a", "b", "ssn", "a/b", "~", "", "-", "0", "\u00fc", "*x"])
FILLER = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
FUZZ = settings(suppress_health_check=list(HealthCheck))


def record(body: bytes, kind: str, **meta: str) -> Frame:
    told = {"endpoint": "e", "request_content_type": kind, **meta}
    return Frame(Kind.RECORD, 0, 1, 1, 1, 1, 1, len(body), 2, 200, told, body, b"{}")


def redacted(given_frame: Frame, *rules: Rule) -> Frame:
    cleaner = Redactor(rules, KEYS)
    (found,) = cleaner.frames([given_frame])
    assert cleaner.frames([given_frame]) == [found]
    return found


def traces(secret: str) -> list[bytes]:
    """Return the forms in which a text can stand in bytes."""
    forms = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        secret.replace('"', '""'),
        "".join(f"\\u{unit:04x}" for unit in _units(secret)),
    }
    return [
        form.encode(encoding, "surrogatepass")
        for form in forms
        for encoding in ("utf-8", "utf-16-le")
    ]


def _units(text: str) -> list[int]:
    raw = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def assert_gone(found: Frame, secret: str) -> None:
    if found.request:
        request = inflated(found.request, found.meta.get("request_encoding", ""))
        found = found._replace(request=request)
    whole = found.request + found.response + repr(found.meta).encode("utf-8", "surrogatepass")
    for trace in traces(secret):
        assert trace not in whole
    if found.request and found.meta["request_content_type"] == "application/json":
        assert not _holds(json.loads(found.request), secret)


def _holds(node: Any, secret: str) -> bool:
    if isinstance(node, dict):
        return any(_holds(one, secret) for pair in node.items() for one in pair)
    if isinstance(node, list):
        return any(_holds(one, secret) for one in node)
    return isinstance(node, str) and secret in node


@st.composite
def planted(draw: st.DrawFn, value: object) -> tuple[Any, str]:
    """Put a value somewhere into a document; give it with a pointer that leads there."""
    pointer = ""
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            others = draw(st.lists(FILLER, max_size=2))
            at = draw(st.integers(0, len(others)))
            value = [*others[:at], value, *others[at:]]
            step = draw(st.sampled_from([str(at), "*", "-"]))
        else:
            name = draw(NAMES)
            value = {**draw(st.dictionaries(NAMES, FILLER, max_size=2)), name: value}
            step = draw(st.sampled_from([name, "*"])).replace("~", "~0").replace("/", "~1")
        pointer = f"/{step}{pointer}"
    return value, pointer


def _written_as(draw: st.DrawFn, value: object, secret: str) -> bytes:
    text = json.dumps(
        value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))
    )
    if draw(st.booleans()):
        plain = json.dumps(secret)[1:-1]
        escaped = "".join(f"\\u{unit:04X}" for unit in _units(secret))
        text = text.replace(plain, escaped)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"]))
    return text.encode(encoding, "surrogatepass")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, bytes, str]:
    secret = draw(SECRETS)
    value, pointer = draw(planted(secret))
    return secret, _written_as(draw, value, secret), pointer


@FUZZ
@given(documents(), ACTIONS, st.booleans())
def test_no_secret_survives_in_json(
    found: tuple[str, bytes, str], action: dict[str, Any], packed: bool
) -> None:
    secret, body, pointer = found
    meta = {"request_encoding": "gzip"} if packed else {}
    given_frame = record(gzip.compress(body) if packed else body, "application/json", **meta)

    changed = redacted(given_frame, Rule("e", pointer, side="request", **action))

    assert changed.flags in (Flag.REDACTED, Flag.REDACTION_FAILED)
    assert_gone(changed, secret)


@FUZZ
@given(SECRETS, SECRETS, ACTIONS, st.booleans(), st.booleans())
def test_no_secret_survives_in_the_first_of_two_equal_names(
    first: str, second: str, action: dict[str, Any], nested: bool, optional: bool
) -> None:
    pair = f'"ssn":{json.dumps(first)},"ssn":{json.dumps(second, ensure_ascii=False)}'
    text = f'{{"a":{{"ssn":{json.dumps(first)}}},"a":{{{pair}}}}}' if nested else f"{{{pair}}}"
    pointer = "/a/ssn" if nested else "/ssn"
    rule = Rule("e", pointer, side="request", optional=optional, **action)

    changed = redacted(record(text.encode("utf-8", "surrogatepass"), "application/json"), rule)

    assert_gone(changed, first)
    assert_gone(changed, second)


def test_no_secret_survives_beside_another_form_of_its_place() -> None:
    body = b'{"a":{"ssn":"078-05-1120"},"a":1}'

    changed = redacted(record(body, "application/json"), Rule("e", "/a/ssn", "drop", optional=True))

    assert b"078" not in changed.request


@FUZZ
@given(st.lists(documents(), min_size=1, max_size=3), ACTIONS)
def test_no_secret_survives_in_json_lines(
    found: list[tuple[str, bytes, str]], action: dict[str, Any]
) -> None:
    lines = [json.dumps(json.loads(body)).encode() for _, body, _ in found]
    rules = [Rule("e", pointer, side="request", **action) for _, _, pointer in found]

    changed = redacted(record(b"\n".join(lines), "application/jsonlines"), *rules)

    for secret, _, _ in found:
        assert_gone(changed, secret)


@FUZZ
@given(
    SECRETS.filter(lambda text: "\0" not in text),
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=3, max_size=3),
        max_size=3,
    ),
    st.integers(0, 2),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    ACTIONS,
)
def test_no_secret_survives_in_csv(
    secret: str,
    others: list[list[str]],
    column: int,
    quoting: Any,
    line_end: str,
    action: dict[str, Any],
) -> None:
    rows = [list(row) for row in [*others, ["x", "y", "z"]]]
    for row in rows:
        row[column] = secret
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator=line_end).writerows(rows)
    body = text.getvalue().encode("utf-8", "replace")
    rule = Rule("e", f"column:{column}", side="request", columns=("0", "1", "2"), **action)

    changed = redacted(record(body, "text/csv"), rule)

    assert_gone(changed, secret)
    if changed.flags == Flag.REDACTED:
        read = list(csv.reader(io.StringIO(changed.request.decode(), newline=""), strict=True))
        was = list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))
        for before, after in zip(was, read, strict=True):
            assert [*before[:column], *before[column + 1 :]] == [
                *after[:column], *after[column + 1 :]
            ]  # fmt: skip


@st.composite
def damages(draw: st.DrawFn, most: int) -> Callable[[bytes], bytes]:
    """Return ways to break a body: bytes replaced, taken out, put in, cut off."""
    steps = draw(
        st.lists(
            st.tuples(
                st.floats(0, 1),
                st.sampled_from(["replace", "delete", "insert", "cut"]),
                st.one_of(
                    st.sampled_from(
                        [b'"', b",", b"\n", b"{", b"}", b"[", b"\\", b"\0", b":", b"\r"]
                    ),
                    st.binary(min_size=1, max_size=2),
                ),
            ),
            min_size=1,
            max_size=most,
        )
    )

    def damage(body: bytes) -> bytes:
        for share, what, some in steps:
            at = int(share * len(body))
            rest = {
                "replace": body[at + len(some) :],
                "delete": body[at + 1 :],
                "insert": body[at:],
            }
            middle = some if what in ("replace", "insert") else b""
            body = body[:at] + middle + rest.get(what, b"")
        return body

    return damage


@FUZZ
@given(documents(), damages(3), ACTIONS)
def test_of_a_broken_document_both_bodies_are_left_or_neither(
    found: tuple[str, bytes, str], damage: Callable[[bytes], bytes], action: dict[str, Any]
) -> None:
    _, body, pointer = found
    one_place = pointer.replace("*", "0").replace("-", "0")

    changed = redacted(
        record(damage(body), "application/json"), Rule("e", one_place, side="request", **action)
    )

    if changed.flags == Flag.REDACTION_FAILED:
        assert (changed.request, changed.response) == (b"", b"")


@FUZZ
@given(SECRETS, damages(3), ACTIONS, st.sampled_from(["application/json", "", "text/plain"]))
@example("s3cr\u00eft-x-\u00ebnd", lambda body: body[:-1], {"action": "drop"}, "text/plain")
def test_a_broken_object_never_leaks(
    secret: str, damage: Callable[[bytes], bytes], action: dict[str, Any], kind: str
) -> None:
    body = damage(json.dumps({"a": [{"ssn": secret}], "n": 1}).encode())

    changed = redacted(record(body, kind), Rule("e", "/a/*/ssn", side="request", **action))

    assert_gone(changed, secret)


@FUZZ
@given(SECRETS, damages(1), ACTIONS)
def test_a_broken_csv_body_never_leaks(
    secret: str, damage: Callable[[bytes], bytes], action: dict[str, Any]
) -> None:
    quoted = secret.replace('"', '""')
    body = damage(f'1,"{quoted}",x\n'.encode("utf-8", "replace"))
    rule = Rule("e", "column:1", side="request", columns=("0", "1", "2"), **action)

    changed = redacted(record(body, "text/csv"), rule)

    assert_gone(changed, secret)


@FUZZ
@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/csv", "", "x/y"]),
       st.sampled_from(["", "gzip", "deflate", "zstd", "br", "x"]), ACTIONS)  # fmt: skip
def test_any_bytes_are_taken_without_a_fault(
    body: bytes, kind: str, encoding: str, action: dict[str, Any]
) -> None:
    rules = [Rule("e", "/a/*", **action), Rule("e", "column:0", **action)]

    changed = redacted(record(body, kind, request_encoding=encoding), *rules)

    assert changed.request_bytes == len(body)
    if changed.flags & Flag.REDACTION_FAILED:
        assert (changed.request, changed.response) == (b"", b"")
