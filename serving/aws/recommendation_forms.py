"""SageMaker's inference recommendations, over recommendation jobs of our own."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, false

from driftline.alerts.documents import snake
from driftline.serving.aws.served import Answer, Given, Wire, WireError
from driftline.serving.hosting.usage import machine_memory_bytes
from driftline.serving.operations.jobs import DescribedRecommendationJob
from driftline.serving.recommendation.definition import LONGEST_S
from driftline.serving.tables import jobs

_MOST = 10  # Recommendations of a job, as SageMaker's.
# Of what would be measured otherwise than asked.
_REFUSED = {
    "ModelPackageVersionArn": "driftline has no registry of packages; give ModelName",
    "Endpoints": "an endpoint that runs is not loaded; give ModelName",
    "Stairs": "give Phases, one for each step",
    "EnvironmentParameterRanges": "driftline tries numbers of threads and nothing else; leave it "
    "out, and give CreateModel its Environment",
}


def spec_of(given: Given) -> Answer:
    """Return our spec of CreateInferenceRecommendationsJob's fields."""
    config, stops = given["InputConfig"], given.get("StoppingConditions", {})
    parts = config, config.get("TrafficPattern", {}), *config.get("EndpointConfigurations", ())
    for part in parts:
        for name, why in _REFUSED.items():
            if part.get(name):
                raise WireError("ValidationException", f"{name}: {why}")
    payload = config.get("ContainerConfig", {}).get("PayloadConfig", {})
    if "ModelName" not in config or "SamplePayloadUrl" not in payload:
        raise WireError(
            "ValidationException",
            "InputConfig: expected ModelName, and ContainerConfig with SamplePayloadUrl in its "
            "PayloadConfig: an archive (.tar.gz) of requests, rows, or captured files",
        )
    (latency,) = stops.get("ModelLatencyThresholds", [{}])
    if latency.get("Percentile", "P95") != "P95" or stops.get("FlatInvocations") == "Continue":
        text = "StoppingConditions: expected Percentile P95, and FlatInvocations Stop"
        raise WireError("ValidationException", text)
    return {
        "job_name": given["JobName"],
        "model_name": config["ModelName"],
        "sample": payload["SamplePayloadUrl"],
        "content_type": next(iter(payload.get("SupportedContentTypes", ())), "text/csv"),
        "phases": [
            {
                "users": one.get("InitialNumberOfUsers"),
                "spawn_per_minute": one.get("SpawnRate", 0),
                "seconds": one.get("DurationInSeconds"),
            }
            for one in config.get("TrafficPattern", {}).get("Phases", ())
        ],
        "max_p95_ms": latency.get("ValueInMilliseconds"),
        "max_tests": config.get("ResourceLimit", {}).get("MaxNumberOfTests"),
        "max_runtime_in_seconds": min(config.get("JobDurationInSeconds", LONGEST_S), LONGEST_S),
    }


def filters_of(given: Given) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a list that this kind of job alone has."""
    if (status := given.get("StatusEquals")) is not None:
        own = {"PENDING": "InProgress", "IN_PROGRESS": "InProgress"}
        yield jobs.c.status == own.get(status, status.capitalize())
        if status in own:
            yield jobs.c.started_at.is_(None) == (status == "PENDING")
    if "ModelNameEquals" in given:
        yield jobs.c.spec["model_name"].as_string() == given["ModelNameEquals"]
    if "ModelPackageVersionArnEquals" in given:
        yield false()


def summary_of(wire: Wire, job: DescribedRecommendationJob) -> Answer:
    """Return what lists and descriptions say of a job in members that ours does not have."""
    is_pending = job.status == "InProgress" and job.start_time is None
    return {
        "Status": "PENDING" if is_pending else snake(job.status).upper(),
        "CompletionTime": job.end_time,
        "SamplePayloadUrl": job.sample,
        "JobType": "Advanced",
        "JobDescription": "",
        "RoleArn": f"arn:aws:iam::{wire.account}:role/driftline",
    }


def members_of(job: DescribedRecommendationJob) -> Answer:
    """Return what created a job, and what it recommends, the best first."""
    ranked = [one for one in job.results or () if one["peak"] and job.status == "Completed"]
    return {
        "InputConfig": {"ModelName": job.model_name},
        "InferenceRecommendations": [
            {"RecommendationId": f"{job.name}/{number}", **_benchmark(job.name, one)}
            for number, one in enumerate(ranked[:_MOST], 1)
        ],
    }


def steps_of(job: DescribedRecommendationJob) -> list[Answer]:
    """Return the load tests of a job, each of one configuration."""
    return [
        {
            "StepType": "BENCHMARK",
            "JobName": job.name,
            "Status": "COMPLETED" if one["peak"] else "FAILED",
            "InferenceBenchmark": _benchmark(job.name, one),
        }
        for one in job.results or ()
    ]


def _benchmark(name: str, result: Mapping[str, Any]) -> Answer:
    """Return a configuration as SageMaker writes it, with its figures if it was measured."""
    candidate, peak, cost = result["candidate"], result["peak"], result["cost"]
    form: Answer = {"EndpointName": name, "VariantName": "AllTraffic"}
    if candidate["memory_mb"] is not None:
        form["ServerlessConfig"] = {
            "MemorySizeInMB": candidate["memory_mb"], "MaxConcurrency": candidate["workers"]
        }  # fmt: skip
    else:
        form["InitialInstanceCount"] = candidate["workers"]
        form["InstanceType"] = None if cost is None else cost["machine"]
    variables = {"OMP_NUM_THREADS": candidate["threads"]} if candidate["threads"] > 1 else {}
    if candidate["max_batch_requests"] is not None:
        variables["max_batch_requests"] = candidate["max_batch_requests"]
    found: Answer = {
        "EndpointConfiguration": form,
        "ModelConfiguration": {
            "InferenceSpecificationName": candidate["runtime"],
            "EnvironmentParameters": [
                {"Key": key, "ValueType": "String", "Value": str(value)}
                for key, value in variables.items()
            ]
            or None,
        },
    }
    if peak is None:
        return found | {"FailureReason": result["ended"]}
    found["Metrics"] = {
        "MaxInvocations": int(peak["invocations_per_minute"]),
        "ModelLatency": math.ceil(peak["p95_ms"]),
        "CpuUtilization": 100 * peak["cpu_cores"] / (os.cpu_count() or 1),
        "MemoryUtilization": 100 * peak["memory_mib"] * 2**20 / machine_memory_bytes(),
    }
    if result["cold_start_ms"] is not None:
        found["Metrics"]["ModelSetupTime"] = math.ceil(result["cold_start_ms"])
    if cost is not None:
        costs = {"CostPerHour": cost["per_hour"], "CostPerInference": cost["per_inference"]}
        found["Metrics"] |= costs
    return found
