"""Every form of hosting: answered as the model answers, captured, and judged by labels."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import skops.io
import yaml

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.kit.waiting import wait

pytestmark = pytest.mark.slow

FEATURES = ["km", "rain_mm"]
PAST = labelled(stream(ORDERS, rows=2_000, seed=1))
OLD, NEW = fit(PAST), fit(PAST.assign(late=1 - PAST["late"]))
ROWS = stream(ORDERS, rows=20, seed=2)[FEATURES]
# Takes metres, and hands kilometres on.
PREPARE = """
def input_fn(body, content_type):
    return [[float(cell) for cell in line.split(",")] for line in body.split()]

def predict_fn(rows, model):
    return [[metres / 1000, rain] for metres, rain in rows]

def output_fn(rows, accept):
    return "\\n".join(",".join(map(str, row)) for row in rows), "text/csv"
"""


@pytest.fixture(scope="module")
def shop(install: Callable[..., Installation]) -> Installation:
    """An installation with two models, their baseline, and a folder of models and archives."""
    found = install("[serving]\ntrust_pickle = true\nserverless_idle_s = 1", is_forked=True)
    folder = found.folder
    PAST[[*FEATURES, "late"]].to_parquet(folder / "past.parquet")
    (folder / "many" / "north").mkdir(parents=True)
    for file, model in (("old", OLD), ("new", NEW), ("many/old", OLD), ("many/north/new", NEW)):
        skops.io.dump(model, folder / f"{file}.skops")
    archive(folder / "prepare.tar.gz", folder / "old.skops", PREPARE)
    archive(folder / "archived.tar.gz", folder / "old.skops", "")
    found.apply(
        resource("Baseline", "orders", data=str(folder / "past.parquet"), label="late"),
        *(
            resource("Model", name, path=str(folder / file))
            for name, file in (
                ("old", "old.skops"), ("new", "new.skops"), ("prepare", "prepare.tar.gz"),
                ("archived", "archived.tar.gz"),
            )
        ),
        resource("Model", "many", mode="MultiModel", model_data_prefix=str(folder / "many")),
        resource("Model", "line", mode="Serial", containers=[
            {"container_hostname": "prepare", "model_name": "prepare"},
            {"container_hostname": "score", "model_name": "old"},
        ]),
        resource("Model", "either", mode="Direct", containers=[
            {"container_hostname": "one", "model_name": "old"},
            {"container_hostname": "two", "model_name": "new"},
        ]),
    )  # fmt: skip
    return found


def archive(file: Path, model: Path, code: str) -> None:
    """Write a model as SageMaker keeps it."""
    with tarfile.open(file, "w:gz") as packed:
        packed.add(model, "model.skops")
        if code:
            info = tarfile.TarInfo("code/inference.py")
            info.size = len(code)
            packed.addfile(info, io.BytesIO(code.encode()))


def answers(shop: Installation, endpoint: str, rows: pd.DataFrame, **headers: str) -> list[int]:
    """Ask, patiently while its worker starts; return the predictions."""
    sent = {
        "Accept": "application/json",
        **{name.replace("_", "-"): headers[name] for name in headers},
    }

    def ask() -> Any:
        answer = shop.invoke(endpoint, rows, headers=sent)
        assert answer.status_code in (200, 503), answer.text
        return answer if answer.status_code == 200 else None

    found = wait(ask).json()
    return [one["prediction"] for one in found["predictions"]]


def expected(model: Any, rows: pd.DataFrame = ROWS) -> list[int]:
    return model.predict(rows).tolist()


def test_variants_share_the_requests_and_a_header_names_one(shop: Installation) -> None:
    shop.apply(
        resource("Endpoint", "variants", baseline="orders", production_variants=[
            {"variant_name": "blue", "model_name": "old", "initial_variant_weight": 1},
            {"variant_name": "green", "model_name": "new", "initial_variant_weight": 0},
        ])
    )  # fmt: skip

    by_weight = answers(shop, "variants", ROWS)
    named = answers(shop, "variants", ROWS, X_Amzn_SageMaker_Target_Variant="green")

    assert (by_weight, named) == (expected(OLD), expected(NEW))
    table = shop.captured("variants", 2)
    assert dict(zip(table["variant"], table["model"], strict=True)).keys() == {"blue", "green"}
    assert table.groupby("variant").size().to_dict() == {"blue": 20, "green": 20}


def test_a_shadow_is_asked_copies_and_captured_under_its_name(shop: Installation) -> None:
    shop.apply(
        resource(
            "Endpoint", "shadowed", baseline="orders",
            production_variants=[{"variant_name": "blue", "model_name": "old"}],
            shadow_production_variants=[{"variant_name": "green", "model_name": "new"}],
        )
    )  # fmt: skip
    wait(lambda: "InService" in json.dumps(shop.get("/api/v1/endpoints/shadowed")))

    def is_mirrored() -> bool:
        assert answers(shop, "shadowed", ROWS) == expected(OLD)
        table = shop.table("shadowed")
        return not table.empty and "green" in set(table["variant"])

    wait(is_mirrored)
    table = shop.table("shadowed")
    copies = table[table["variant"] == "green"].sort_values(["event_id", "row_index"])
    assert copies["prediction"].tolist()[:20] == expected(NEW)
    assert set(copies["event_id"]) <= set(table[table["variant"] == "blue"]["event_id"])


def test_a_serverless_endpoint_starts_on_request_and_ends_when_idle(shop: Installation) -> None:
    config = {"memory_size_in_mb": 2048, "max_concurrency": 2}
    shop.apply(
        resource("Endpoint", "seldom", model="old", baseline="orders", serverless_config=config)
    )

    assert answers(shop, "seldom", ROWS) == expected(OLD)
    assert len(shop.captured("seldom", 1)) == len(ROWS)

    shop.wait(lambda: '"instance_count": 0' in shop.done("get", "endpoint", "seldom", "--json"))
    assert answers(shop, "seldom", ROWS) == expected(OLD)


def test_an_asynchronous_endpoint_answers_by_a_file(shop: Installation) -> None:
    output = shop.folder / "store" / "outputs" / "later"
    shop.apply(
        resource("Endpoint", "later", model="old", baseline="orders", async_inference_config={
            "output_config": {"s3_output_path": str(output)},
        })
    )  # fmt: skip

    accepted = shop.request(
        "POST", "/endpoints/later/async-invocations",
        content=ROWS.to_csv(index=False, header=False),
        headers={
            "content-type": "text/csv", "accept": "application/json",
            "X-Amzn-SageMaker-Inference-Id": "march",
        },
    )  # fmt: skip

    assert accepted.status_code == 202, accepted.text
    place = Path(accepted.headers["X-Amzn-SageMaker-OutputLocation"].removeprefix("file://"))
    found = json.loads(wait(lambda: place.read_text() if place.exists() else None))
    assert [one["prediction"] for one in found["predictions"]] == expected(OLD)
    assert set(shop.captured("later", 1)["inference_id"]) == {"march"}


def test_many_models_behind_one_endpoint_are_asked_by_name(shop: Installation) -> None:
    shop.apply(resource("Endpoint", "many", model="many", baseline="orders"))

    first, second = (
        answers(shop, "many", ROWS, X_Amzn_SageMaker_Target_Model=name)
        for name in ("old.skops", "north/new.skops")
    )
    absent = shop.invoke("many", ROWS, headers={"X-Amzn-SageMaker-Target-Model": "none.skops"})

    assert (first, second, absent.status_code) == (expected(OLD), expected(NEW), 404)
    assert len(shop.captured("many", 2)) >= 2 * len(ROWS)


def test_a_pipeline_goes_through_all_its_containers(shop: Installation) -> None:
    shop.apply(resource("Endpoint", "line", model="line"))

    metres = ROWS.assign(km=ROWS["km"] * 1_000)

    assert answers(shop, "line", metres) == expected(OLD)
    shop.captured("line", 1)


def test_a_container_is_asked_directly(shop: Installation) -> None:
    shop.apply(resource("Endpoint", "either", model="either", baseline="orders"))

    for name, model in (("one", OLD), ("two", NEW)):
        header = {"X_Amzn_SageMaker_Target_Container_Hostname": name}
        assert answers(shop, "either", ROWS, **header) == expected(model)
    assert shop.invoke("either", ROWS).status_code == 400


def test_an_archive_of_sagemakers_is_served_like_its_model(shop: Installation) -> None:
    shop.apply(resource("Endpoint", "archived", model="archived", baseline="orders"))

    assert answers(shop, "archived", ROWS) == expected(OLD)
    table = shop.captured("archived", 1).sort_values("row_index")
    assert table["prediction"].tolist() == expected(OLD)


def test_files_are_scored_by_a_command_and_by_a_job(shop: Installation) -> None:
    ROWS.to_csv(shop.folder / "march.csv", index=False, header=False)
    output = shop.folder / "store" / "outputs" / "march"
    shop.apply(resource("Endpoint", "scored", model="old", baseline="orders"))
    job = {
        "transform_job_name": "march",
        "endpoint_name": "scored",
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": str(shop.folder / "march.csv")}},
            "content_type": "text/csv", "split_type": "Line",
        },
        "transform_output": {"s3_output_path": str(output)},
    }  # fmt: skip
    (shop.folder / "march.yaml").write_text(yaml.safe_dump(job))

    shop.done("transform", "old.skops", "march.csv", "-o", "scores")
    shop.done("job", "create", "march.yaml")
    shop.wait(lambda: "Completed" in shop.done("job", "get", "march"))

    for folder in (shop.folder / "scores", output):
        (file,) = folder.glob("*.out")
        scored = pd.read_csv(file, header=None)
        assert scored[0].tolist() == expected(OLD)
