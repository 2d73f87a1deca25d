"""Many models behind one endpoint: loaded when asked, recorded under their names."""

import os
import pickle
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError
from driftline.serving.hosting.multi_model.target_model import checked_target_model
from tests.serving.conftest import make_frame, make_model

SERVERS = ("trust_pickle", "timeout_s")  # Settings of the server; all else is the Model's.


@pytest.fixture(scope="module")
def store_models(tmp_path_factory):
    """Save six models that answer differently."""
    folder = tmp_path_factory.mktemp("models")
    for number in range(6):
        skops.io.dump(make_model(make_frame(seed=number)), folder / f"{number:02}.skops")
    return sorted(folder.iterdir())


def ask(server, model):
    """Ask one model of the endpoint."""
    headers = {"content-type": "text/csv", "X-Amzn-SageMaker-Target-Model": model}
    return server.client.post(
        "/endpoints/stores/invocations", content="UA,EWR,1400,39.02", headers=headers
    )


@pytest.fixture
def prefix(tmp_path, store_models):
    """Return a folder of models that a test may change."""
    shutil.copytree(store_models[0].parent, tmp_path / "prefix" / "north")
    return tmp_path / "prefix"


@pytest.fixture
def stores(start, declare, trained, tmp_path, prefix):
    """Return what starts the server and applies the endpoint, with fields of its model."""
    (tmp_path / "server").mkdir()
    with ExitStack() as opened:

        def begin(**given):
            settings = {key: given.pop(key) for key in SERVERS if key in given}
            server = opened.enter_context(start(tmp_path / "server", **settings))
            model = {"mode": "MultiModel", "model_data_prefix": str(prefix), **given}
            server.must_apply(
                declare("Model", "stores", **model),
                declare("Baseline", "stores", data=str(trained.reference), label="late"),
                declare("Endpoint", "stores", model="stores", baseline="stores"),
            )
            return server

        begin.stop = opened.close  # For who looks at what is left.
        yield begin


def test_hostile_names_reach_no_file_and_are_counted(stores, prefix, store_models):
    outside = prefix.parent / "outside.skops"
    outside.write_bytes(store_models[0].read_bytes())
    (prefix / "link.skops").symlink_to(outside)
    (prefix / "linked").symlink_to(prefix / "north")
    (prefix / "folder.skops").mkdir()
    os.mkfifo(prefix / "pipe.skops")
    server = stores()

    refused = [
        "../outside.skops", str(outside), "%2e%2e/outside.skops", "..\\outside.skops",
        "\u00fc.skops".encode().decode("latin-1"), "00.exe", "00.tar", "00.joblib", "link.skops",
        "linked/00.skops", "north",
    ]  # fmt: skip
    answers = {name: ask(server, name.encode("latin-1")) for name in refused}
    absent = ("north/99.skops", "folder.skops", "pipe.skops", "north/00.skops/x.skops")
    missing = {name: ask(server, name) for name in absent}

    assert {name: one.status_code for name, one in answers.items()} == dict.fromkeys(refused, 400)
    assert {name: one.status_code for name, one in missing.items()} == dict.fromkeys(absent, 404)
    for answer in [*answers.values(), *missing.values()]:
        assert str(prefix) not in answer.text
        assert str(server.root) not in answer.text
    assert ask(server, "north/00.skops").status_code == 200
    text = server.client.get("/metrics").text
    assert f'driftline_invocations_total{{code="400",endpoint="stores"}} {len(refused)}' in text


def test_a_model_that_cannot_be_loaded_is_tried_anew_and_a_withdrawn_one_is_gone(
    stores, prefix, store_models, until
):
    (prefix / "broken.skops").write_bytes(b"no zip")
    frame = make_frame()
    words = make_model(frame.assign(late=frame["late"].map({0: "no", 1: "yes"})))
    skops.io.dump(words, prefix / "words.skops")
    server = stores()

    broken = ask(server, "broken.skops")
    others = ask(server, "words.skops")
    (prefix / "mended.skops").write_bytes(store_models[0].read_bytes())

    assert broken.status_code == others.status_code == 424
    assert 'model "broken.skops"' in server.error_of(broken)["message"]
    assert "in class_type: string, expected int64" in server.error_of(others)["message"]
    assert ask(server, "mended.skops").status_code == 200
    # As after a request that came while the file was being copied below the prefix.
    (prefix / "broken.skops").write_bytes(store_models[0].read_bytes())
    assert ask(server, "broken.skops").status_code == 200
    (prefix / "mended.skops").unlink()
    until(lambda: ask(server, "mended.skops").status_code == 404)


def test_models_that_crash_or_hang_when_loaded_stop_no_other(stores, prefix):
    (prefix / "z-crash.joblib").write_bytes(_pickle_that_runs("import os; os._exit(3)"))
    (prefix / "z-hang.joblib").write_bytes(_pickle_that_runs("while True: pass"))
    server = stores(trust_pickle=True, timeout_s=5)

    with ThreadPoolExecutor(3) as callers:
        hanging = callers.submit(ask, server, "z-hang.joblib")
        others = [ask(server, f"north/{number % 3:02}.skops") for number in range(20)]
        hung = hanging.result()
        crashed = callers.submit(ask, server, "z-crash.joblib")
        others += [ask(server, f"north/{number % 3:02}.skops") for number in range(20)]
        crash = crashed.result()
    again = ask(server, "z-crash.joblib")
    others.append(ask(server, "north/05.skops"))

    assert {one.status_code for one in others} == {200}
    recorded = Counter(server.captured("stores", "model"))
    assert [recorded[f"north/{number:02}.skops"] for number in (0, 1, 2, 5)] == [14, 14, 12, 1]
    # It was asked twice, then once more: three losses in a row.
    assert [one.status_code for one in (hung, crash, again)] == [504, 503, 424]
    assert "ends its worker, or does not come to an end" in server.error_of(again)["message"]


def _pickle_that_runs(code):
    class Hostile:
        def __reduce__(self):
            return exec, (code,)

    return pickle.dumps(Hostile())


def test_memory_and_its_metrics_follow_what_is_asked(stores, prefix):
    # Of 5 MiB each by their files, two fit: what a zip holds behind its end counts as it is.
    server = stores(memory_limit_mb=16)
    for file in (prefix / "north").iterdir():
        file.write_bytes(b"\0" * (5 << 20) + file.read_bytes())
    asked = ["00", "01", "00", "02", "00", "01"]  # 02 makes room of 01, and 01 again of 02.
    for number in asked:
        assert ask(server, f"north/{number}.skops").status_code == 200
    with ThreadPoolExecutor(3) as callers:
        answers = list(callers.map(partial(ask, server), ["north/03.skops"] * 3))
    assert {one.status_code for one in answers} == {200}
    stores.stop()  # Metrics of the minute are written.

    assert server.metric("stores", "ModelCacheHit")[0] == 9
    # Of 00 twice; of 03 perhaps, where a caller came after it had been loaded.
    assert 2 <= server.metric("stores", "ModelCacheHit")[1] <= 4
    assert server.metric("stores", "ModelLoadingTime")[0] == 5
    assert (
        server.metric("stores", "ModelDownloadingTime")[0] == 4
    )  # The file of 01 was still there.
    assert server.metric("stores", "ModelUnloadingTime")[0] == 3


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
def test_what_is_no_plain_path_is_refused_in_one_short_printable_line(text):
    with pytest.raises(InputError) as refused:
        checked_target_model(text)

    message = str(refused.value)
    assert message.isascii()
    assert message.isprintable()


@given(st.text(max_size=60))
def test_what_passes_stays_below_its_prefix(text):
    try:
        name = checked_target_model(text)
    except InputError:
        return

    assert not name.startswith("/")
    assert not {"", ".", ".."} & set(name.split("/"))
    assert name.isascii()
