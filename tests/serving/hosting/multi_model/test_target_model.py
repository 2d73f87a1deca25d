"""What may name a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.multi_model.target_model import (
    checked_target_model,
    require_servable,
)

HOSTILE = [
    "", "..", ".", "../a.skops", "a/../../b.skops", "a/..", "./a.skops", "/etc/passwd", "/a.skops",
    "//a.skops", "a//b.skops", "a/", "a.skops/", "a\0.skops", "a\n.skops", "a\r\nx: y", "a b.skops",
    "..%2f..%2fetc%2fpasswd", "%2e%2e/a.skops", "a%00.skops", "..\\a.skops", "C:\\a.skops",
    "\\\\host\\share\\a.skops", "~/a.skops", "$HOME/a.skops", "`id`.skops", "a;b.skops", ".git/x",
    "a/.hidden.skops", "stores/ü.skops", "a\u202e.skops", "\uff0e\uff0e/a.skops", "s3://b/a.skops",
    "file:/etc/passwd", "a*.skops", "a?.skops", "[a].skops", "-rf.skops", "a:b.skops",
    "a" * 1025, "a/" * 520 + "b", "a" * 256 + "/b.skops", "\x7f.skops",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_is_no_plain_path_is_refused_in_one_short_printable_line(text: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_target_model(text)

    message = str(refused.value)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 400


@given(st.text(max_size=60))
def test_what_passes_stays_below_its_prefix(text: str) -> None:
    try:
        name = checked_target_model(text)
    except InputError:
        return

    assert not name.startswith("/")
    assert not {"", ".", ".."} & set(name.split("/"))
    assert name.isascii()


def test_files_that_no_worker_would_load_are_refused_by_their_names() -> None:
    for name in ("a.exe", "a", "a.tar"):
        with pytest.raises(ModelError, match="suffixes"):
            require_servable(name, trust_pickle=True)
    for name in ("a.joblib", "a.tar.gz"):
        with pytest.raises(ModelError, match="trust_pickle"):
            require_servable(name, trust_pickle=False)
        require_servable(name, trust_pickle=True)
    require_servable("a.skops", trust_pickle=False)
