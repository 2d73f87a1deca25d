"""Scripts that resources name: only those that the installation has, told discreetly."""

from __future__ import annotations

import json
from typing import Any

SCRIPT = """
def preprocess_handler(inference_record):
    place, temp = inference_record.endpoint_input.data.split("|")
    return {"place": place, "temp": float(temp)}
"""
BAD = "def preprocess_handler(record):\n    return int(record.endpoint_input.data)\n"
SPAN = {"from": "2026-01-15T00:00:00Z", "to": "2026-01-16T00:00:00Z"}


def line(index: int) -> dict[str, Any]:
    sent = {
        "observedContentType": "text/plain", "mode": "INPUT",
        "data": f"{['EWR', 'JFK'][index % 2]}|{50 + index % 9}", "encoding": "CSV",
    }  # fmt: skip
    meta = {"eventId": f"e{index}", "inferenceTime": "2026-01-15T12:00:00Z"}
    return {"captureData": {"endpointInput": sent}, "eventMetadata": meta, "eventVersion": "0"}


def test_a_changed_script_makes_its_baseline_anew_and_its_errors_quote_no_record(
    start: Any, declare: Any, tmp_path: Any
) -> None:
    lines = "\n".join(json.dumps(line(index)) for index in range(600))
    data, script = tmp_path / "reference.jsonl", tmp_path / "pre.py"
    data.write_text(lines)
    script.write_text(SCRIPT)
    (tmp_path / "bad.py").write_text(BAD)
    wanted = [
        declare("Baseline", "places", data=str(data), preprocess="pre.py", segments=["place"]),
        declare("Endpoint", "places", baseline="places"),
        declare("Monitor", "places", endpoint="places", baseline="places", preprocess="pre.py"),
    ]
    bad = declare("Baseline", "bad", data=str(data), preprocess="bad.py")
    with start(tmp_path, scripts_dir=str(tmp_path)) as server:
        first, again = (server.apply(*wanted).json() for _ in range(2))
        loaded = server.client.post(
            "/api/v1/endpoints/places/capture/lines", content=lines,
            headers={"content-type": "application/jsonlines"},
        )  # fmt: skip
        ran = server.client.post("/api/v1/monitors/places/run", json=SPAN).json()
        script.write_text(SCRIPT.replace("float(temp)", "float(temp) - 32"))
        changed = server.apply(*wanted).json()
        refused = server.apply(bad)

    assert {one["action"] for one in first["changes"]} == {"create"}
    assert {one["action"] for one in again["changes"]} == {"unchanged"}
    assert [one["action"] for one in changed["changes"]].count("update") == 1
    assert loaded.status_code == 200, loaded.text
    assert (ran["status"], ran["row_count"]) == ("Completed", 600), ran
    assert refused.status_code == 400
    told = server.error_of(refused)["message"]
    assert told.endswith("bad.py, line 2: ValueError (record 1)")
