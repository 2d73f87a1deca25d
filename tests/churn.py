"""Requests of amazon-sagemaker-examples' sm-model_monitor_introduction, as SageMaker captures."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np


def captured_churn(rows: Sequence[str]) -> str:
    """Return the lines of a capture file, one request for each row; the answers are made up."""
    answers = np.random.default_rng(0).uniform(0.01, 0.99, len(rows))
    kind = {"observedContentType": "text/csv", "encoding": "CSV"}
    lines = [
        {
            "captureData": {
                "endpointInput": {**kind, "mode": "INPUT", "data": row},
                "endpointOutput": {**kind, "mode": "OUTPUT", "data": f"{answer:.17f}"},
            },
            "eventMetadata": {"eventId": f"e{index}", "inferenceTime": "2022-04-18T00:21:48Z"},
            "eventVersion": "0",
        }
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True))
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)
