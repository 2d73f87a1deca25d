import pytest

from driftline.serving.bodies.media_types import (
    NotAcceptableError,
    UnsupportedMediaError,
    answer_form,
    body_form,
)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("Text/CSV; charset=UTF-8; label_size=0", "csv"),
        ("application/json", "json"),
        ("application/x-ndjson", "jsonlines"),
        ("application/X-npy; v=1", "npy"),
        ("", None),
        ("application/x-npz", None),
        ("text/csv; charset=utf-16", None),
    ],
)
def test_known_types_are_read_and_others_refused(content_type, form):
    if form is None:
        with pytest.raises(UnsupportedMediaError, match="expected"):
            body_form(content_type)
    else:
        assert body_form(content_type) == form


@pytest.mark.parametrize(
    ("accept", "asked", "form"),
    [
        ("*/*", "csv", "csv"),
        ("text/html, application/jsonlines;q=0.5, application/json;q=0.9", "csv", "jsonlines"),
        ("text/*", "csv", "csv"),
        ("application/*", "csv", "json"),
        ("application/x-npy, text/csv;q=0.5", "csv", "npy"),
        ("*/*", "npy", "json"),
        ("text/html", "csv", None),
    ],
)
def test_the_best_accepted_type_is_answered(accept, asked, form):
    if form is None:
        with pytest.raises(NotAcceptableError, match="expected"):
            answer_form(accept, asked)
    else:
        assert answer_form(accept, asked) == form
