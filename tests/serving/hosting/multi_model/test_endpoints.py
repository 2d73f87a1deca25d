"""Many models behind one endpoint: loaded when asked, recorded under their names."""

import os
import pickle
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.capture.tables.dataset import Dataset
from tests.serving.conftest import NOW
from tests.serving.hosting.multi_model.conftest import store_frame

ROW = "0.5,0.1,0"


def test_each_model_answers_by_its_name_until_it_is_withdrawn(
    stores: Any, ask: Any, store_models: Any, prefix: Path, until: Any
) -> None:
    server = stores()

    for file in store_models[:3]:
        answer = ask(server, f"north/{file.name}", ROW)

        assert answer.status_code == 200, answer.text
        model = skops.io.load(file, trusted=[])
        row = pd.DataFrame([[0.5, 0.1, 0.0]], columns=["price", "stock", "visits"])
        expected = model.predict_proba(row)[0, 1]
        probability = float(answer.text.split(",")[1])
        assert abs(probability - expected) < 1e-9
    (prefix / "north" / store_models[0].name).unlink()
    until(lambda: ask(server, f"north/{store_models[0].name}").status_code == 404)


def test_hostile_names_reach_no_file_and_are_counted(
    stores: Any, ask: Any, prefix: Path, store_models: Any
) -> None:
    outside = prefix.parent / "outside.skops"
    outside.write_bytes(store_models[0].read_bytes())
    (prefix / "link.skops").symlink_to(outside)
    (prefix / "linked").symlink_to(prefix / "north")
    (prefix / "folder.skops").mkdir()
    os.mkfifo(prefix / "pipe.skops")
    server = stores()

    refused = [
        "../outside.skops", "north/../../outside.skops", str(outside), "%2e%2e/outside.skops",
        "north%2f00.skops", "..\\outside.skops", "\u00fc.skops".encode().decode("latin-1"),
        "a" * 1025, ".hidden.skops", "00.exe", "00.joblib", "link.skops", "linked/00.skops",
    ]  # fmt: skip
    answers = {name: ask(server, name.encode("latin-1")) for name in refused}
    missing = {
        name: ask(server, name)
        for name in (
            "north/99.skops",
            "north",
            "folder.skops",
            "pipe.skops",
            "north/00.skops/x.skops",
        )
    }

    assert {name: one.status_code for name, one in answers.items()} == dict.fromkeys(refused, 400)
    assert missing.pop("north").status_code == 400
    for answer in missing.values():
        assert answer.status_code == 404, answer.text
        assert server.error_of(answer)["message"].startswith("Failed to download model data")
    for answer in [*answers.values(), *missing.values()]:
        assert str(prefix) not in answer.text
        assert str(server.root) not in answer.text
    assert ask(server, "north/00.skops").status_code == 200
    text = server.client.get("/metrics").text
    assert f'driftline_invocations_total{{code="400",endpoint="stores"}} {len(refused) + 1}' in text


def test_a_model_that_cannot_be_loaded_is_told_and_tried_anew(
    stores: Any, ask: Any, prefix: Path, store_models: Any
) -> None:
    (prefix / "broken.skops").write_bytes(b"no zip")
    classes = LogisticRegression().fit(
        store_frame()[["price", "stock", "visits"]], ["a", "b"] * 200
    )
    skops.io.dump(classes, prefix / "words.skops")
    server = stores()

    broken = ask(server, "broken.skops")
    words = ask(server, "words.skops")
    (prefix / "mended.skops").write_bytes(store_models[0].read_bytes())

    assert broken.status_code == words.status_code == 424
    assert 'model "broken.skops"' in server.error_of(broken)["message"]
    assert "in class_type: string, expected int64" in server.error_of(words)["message"]
    assert ask(server, "mended.skops").status_code == 200
    # As after a request that came while the file was being copied below the prefix.
    (prefix / "broken.skops").write_bytes(store_models[0].read_bytes())
    assert ask(server, "broken.skops").status_code == 200
    server.sink_all()
    captured = Dataset(str(server.root), "stores").open().to_table(["model", "status"]).to_pylist()
    served = [row["model"] for row in captured if row["status"] == 200]
    assert served == ["mended.skops", "broken.skops"]


def test_a_killed_worker_is_replaced_and_loads_again(stores: Any, ask: Any, until: Any) -> None:
    server = stores()
    for name in ("north/00.skops", "north/01.skops"):
        ask(server, name)

    for _ in range(2):
        (worker,) = server.worker_ids()
        os.kill(worker, signal.SIGKILL)
        until(lambda gone=worker: gone not in server.worker_ids())
        answers = [ask(server, f"north/{number:02}.skops") for number in (1, 2)]
        assert [one.status_code for one in answers] == [200, 200]
    server.sink_all()

    table = Dataset(str(server.root), "stores").open().to_table(["model"])
    assert Counter(table["model"].to_pylist()) == {
        "north/00.skops": 1, "north/01.skops": 3, "north/02.skops": 2,
    }  # fmt: skip


def test_models_that_crash_or_hang_when_loaded_stop_no_other(
    stores: Any, ask: Any, prefix: Path
) -> None:
    (prefix / "z-crash.joblib").write_bytes(_pickle_that("import os; os._exit(3)"))
    (prefix / "z-hang.joblib").write_bytes(_pickle_that("while True: pass"))
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
    # It was asked twice, then once more: three losses in a row.
    assert [one.status_code for one in (hung, crash, again)] == [504, 503, 424]
    assert "ends its worker, or does not come to an end" in server.error_of(again)["message"]


def _pickle_that(code: str) -> bytes:
    """Return a pickle that runs code when it is read."""

    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return exec, (code,)

    return pickle.dumps(Hostile())


def test_memory_and_its_metrics_follow_what_is_asked(stores: Any, ask: Any, prefix: Path) -> None:
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

    dimensions = {"EndpointName": "stores", "VariantName": "AllTraffic"}

    def told(name: str) -> tuple[float, float]:
        key = metric_key("AWS/SageMaker", name, dimensions)
        request = SeriesRequest(key, NOW, NOW + timedelta(minutes=1), 60)
        with server.engine.connect() as connection:
            found = read_many(connection, [request])[0].get(0)
        return (0, 0) if found is None else (found.sample_count, found.sum)

    assert told("ModelCacheHit")[0] == 9
    # Of 00 twice; of 03 perhaps, where a caller came after it had been loaded.
    assert 2 <= told("ModelCacheHit")[1] <= 4
    assert told("ModelLoadingTime")[0] == 5
    assert told("ModelDownloadingTime")[0] == 4  # The file of 01 was still there.
    assert told("ModelUnloadingTime")[0] == 3
