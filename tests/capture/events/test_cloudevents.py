"""CloudEvents of KServe's logger, as they come over the wire."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.capture.events.cloudevents import REQUEST_TYPE, Event, read_events
from driftline.errors import InputError
from tests.capture.events.event_tools import (
    REQUEST,
    RESPONSE,
    STRUCTURED_REQUEST,
    STRUCTURED_RESPONSE,
    parts,
)

WHOLE = {"specversion": "1.0", "id": "i", "source": "/s", "type": REQUEST_TYPE}


def test_the_bytes_that_kserve_sends_are_read() -> None:
    (asked,) = read_events(*parts(REQUEST))
    (told,) = read_events(*parts(RESPONSE))

    assert asked == Event(
        id="0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11",
        source="http://localhost:9081/",
        is_request=True,
        time_us=1_795_179_600_123_456,
        content_type="application/json",
        data=b'{"instances":[[6.8,2.8,4.8,1.4]]}',
        service="sklearn-iris",
        namespace="default",
        component="predictor",
        canary="default",
    )
    assert (told.is_request, told.time_us, told.data) == (
        False, 1_795_179_600_130_456, b'{"predictions":[1]}',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("structured", "plain"), [(STRUCTURED_REQUEST, REQUEST), (STRUCTURED_RESPONSE, RESPONSE)]
)
def test_the_structured_mode_tells_the_same(structured: bytes, plain: bytes) -> None:
    assert read_events(*parts(structured)) == read_events(*parts(plain))


def test_a_batch_is_a_list_of_structured_events() -> None:
    both = [json.loads(parts(raw)[1]) for raw in (STRUCTURED_RESPONSE, STRUCTURED_REQUEST)]

    found = read_events(
        {"content-type": "application/cloudevents-batch+json"}, json.dumps(both).encode()
    )

    assert [event.is_request for event in found] == [False, True]


@pytest.mark.parametrize(
    ("more", "data", "kind"),
    [
        ({"data": {"a": [1, "é"]}}, b'{"a":[1,"\\u00e9"]}', "application/json"),
        ({"data": "1,2", "datacontenttype": "text/csv"}, b"1,2", "text/csv"),
        ({"data": "text"}, b'"text"', "application/json"),
        ({"data_base64": "AP8="}, b"\x00\xff", "application/json"),
        ({"data": "AP8=", "datacontentencoding": "base64"}, b"\x00\xff", "application/json"),
        ({}, b"", "application/json"),
    ],
)
def test_structured_data_becomes_the_bytes_that_it_stands_for(
    more: dict[str, Any], data: bytes, kind: str
) -> None:
    (found,) = read_events(
        {"content-type": "application/cloudevents+json; charset=utf-8"},
        json.dumps({**WHOLE, **more}).encode(),
    )

    assert (found.data, found.content_type) == (data, kind)


def test_percent_encoded_headers_are_decoded() -> None:
    # CloudEvents 1.0, HTTP protocol binding, 3.1.3.2: "Euro € 😀".
    headers = {f"ce-{name}": value for name, value in WHOLE.items()}

    (found,) = read_events({**headers, "ce-id": "Euro%20%E2%82%AC%20%F0%9F%98%80"}, b"")

    assert found.id == "Euro € 😀"


@pytest.mark.parametrize(
    ("headers", "body", "sentence"),
    [
        ({}, b"{}", "no cloud event; expected headers such as ce-id"),
        ({"content-type": "application/cloudevents+json"}, b"{", "the body is not JSON"),
        ({"content-type": "application/cloudevents+json"}, b"[]", "expected a JSON object"),
        ({"content-type": "application/cloudevents+json"}, b"[" * 9999, "not JSON"),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}", "expected a list"),
        ({"content-type": "application/cloudevents+avro"}, b"", "expected application/cloudevents"),
        ({**WHOLE, "id": ""}, b"", "id is missing"),
        ({**WHOLE, "id": "x" * 1025}, b"", "more than 1024 characters"),
        ({**WHOLE, "specversion": "2.0"}, b"", "expected one of 1.0, 0.3"),
        ({**WHOLE, "type": "org.kubeflow.serving.inference.feedback"}, b"", "is not understood"),
    ],
)
def test_what_is_no_event_of_kserve_is_refused_in_one_sentence(
    headers: dict[str, str], body: bytes, sentence: str
) -> None:
    named = headers if "id" not in headers else {f"ce-{n}": v for n, v in headers.items()}

    with pytest.raises(InputError) as told:
        read_events(named, body)

    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300


def test_base64_that_is_none_is_refused_without_showing_it() -> None:
    body = json.dumps({**WHOLE, "data_base64": "secret!"}).encode()

    with pytest.raises(InputError, match="not Base64") as told:
        read_events({"content-type": "application/cloudevents+json"}, body)

    assert "secret" not in str(told.value)


JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*WHOLE, "data", "data_base64", "time", "datacontenttype"]),
            st.one_of(inner, st.sampled_from([*WHOLE.values()])),
            max_size=7,
        ),
    ),
)


@example({**WHOLE, "data": {"a": 1}}, "+json")  # Hardly any at random is an event.
@example([{**WHOLE, "data": "a"}, WHOLE], "-batch+json")
@given(JSONS, st.sampled_from(["+json", "-batch+json"]))
def test_any_document_is_read_or_refused(document: object, mode: str) -> None:
    try:
        found = read_events(
            {"content-type": f"application/cloudevents{mode}"}, json.dumps(document).encode()
        )
    except InputError:
        return
    assert all(isinstance(event.data, bytes) for event in found)


@given(st.binary(max_size=40))
def test_bytes_survive_structured_mode(data: bytes) -> None:
    body = json.dumps({**WHOLE, "data_base64": base64.b64encode(data).decode()}).encode()

    (found,) = read_events({"content-type": "application/cloudevents+json"}, body)

    assert found.data == data
