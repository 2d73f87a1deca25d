"""One process of a transform job that kills itself at a random moment of its work, or ends it.

A negative seed kills nothing.
"""

import os
import random
import signal
import sys
import threading
from pathlib import Path

from driftline.app.transforming import transform_files_of
from driftline.serving.hosting.child import Launch
from driftline.serving.transform.definition import TransformJobSpec

# From the first progress on; a whole job of the short form takes some tenths of a second.
LONGEST_S = 0.1


def main(model: str, data: str, out: str, number: str) -> None:
    """Run the job."""
    seed = int(number)
    spec = TransformJobSpec.model_validate(
        {
            "transform_job_name": "killed",
            "model_name": model,
            "transform_input": {
                "data_source": {"s3_data_source": {"s3_uri": data}},
                "split_type": "Line",
            },
            "transform_output": {"s3_output_path": out, "assemble_with": "Line"},
            "data_processing": {"join_source": "Input"},
            "max_payload_in_mb": 1,
            "max_concurrent_transforms": 2,
        }
    )
    wait_s = random.Random(seed).uniform(0, LONGEST_S)
    timer = threading.Timer(wait_s, lambda: os.kill(os.getpid(), signal.SIGKILL))

    def moved(_counts: object) -> None:
        if seed >= 0 and not timer.ident:
            timer.start()

    job = transform_files_of(
        spec, Launch(model), local_dir=Path(out), stop=threading.Event(), moved=moved
    )
    timer.cancel()
    sys.exit(0 if job["transform_job_status"] == "Completed" else 1)
