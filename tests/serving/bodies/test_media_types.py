import pytest

from driftline.serving.bodies.media_types import (
    NotAcceptableError,
    UnsupportedMediaError,
    answer_form,
    body_form,
    text_form,
)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("text/csv", "csv"),
        ("Text/CSV; charset=UTF-8; label_size=0", "csv"),
        ("application/json", "json"),
        ("application/x-ndjson", "jsonlines"),
        ("application/jsonlines", "jsonlines"),
        ("application/X-npy; v=1", "npy"),
    ],
)
def test_known_types_are_read(content_type, form):
    assert body_form(content_type) == form


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-npz", "text/csv; charset=utf-16"]
)
def test_other_types_are_refused(content_type):
    with pytest.raises(UnsupportedMediaError, match="expected"):
        body_form(content_type)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "csv"),
        ("*/*", "csv"),
        ("application/json", "json"),
        ("text/html, application/jsonlines;q=0.5, application/json;q=0.9", "json"),
        ("text/*", "csv"),
        ("application/*", "json"),
        ("application/json;q=x, text/csv;q=0.1", "csv"),
    ],
)
def test_the_best_accepted_type_is_answered(accept, form):
    assert answer_form(accept, "csv") == form


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0"])
def test_nothing_acceptable_is_said(accept):
    with pytest.raises(NotAcceptableError, match="expected"):
        answer_form(accept, "csv")


def test_an_array_is_answered_by_json_or_where_asked_by_an_array():
    assert answer_form("", "npy") == "json"
    assert answer_form("*/*", "npy") == "json"
    assert answer_form("application/x-npy, text/csv;q=0.5", "csv") == "npy"


def test_labels_come_as_text_only():
    assert text_form("text/csv") == "csv"
    with pytest.raises(UnsupportedMediaError, match=r"application/json or application/jsonlines$"):
        text_form("application/x-npy")
