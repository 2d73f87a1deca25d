"""Output of ``aws … describe-…`` from files, each document told by fields of its kind alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of
from driftline.serving.processing.schedules import KINDS, Document, Job, monitoring_job

# Longer files are data: captured lines, statistics.
LONGEST_BYTES = 16 << 20
# The name of each description, and the fields that only it has.
_FORMS = {
    "schedules": ("MonitoringScheduleName", ["MonitoringScheduleConfig"]),
    "definitions": ("JobDefinitionName", [f"{kind}JobInput" for kind in KINDS]),
    "endpoints": ("EndpointName", ["EndpointStatus"]),
    "configs": ("EndpointConfigName", ["ProductionVariants"]),
    "processing_jobs": ("ProcessingJobName", ["AppSpecification"]),
    "alarms": ("AlarmName", ["EvaluationPeriods"]),
    "composites": ("AlarmName", ["AlarmRule"]),
}

Descriptions = dict[str, dict[str, Document]]  # By what is described, and its name.


@dataclass(frozen=True, slots=True)
class Places:
    """Folders in the place of beginnings of URIs, the longest first."""

    folders: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Places:
        """Read texts such as ``s3://bucket/prefix=copy/``."""
        found = []
        for text in texts:
            uri, separator, folder = text.partition("=")
            if not separator or "://" not in uri or not folder:
                raise InputError(f'--map "{text}"; expected URI=FOLDER such as s3://bucket=copy')
            found.append((uri.rstrip("/"), str(Path(folder).resolve())))
        return cls(tuple(sorted(found, key=lambda one: -len(one[0]))))

    def place(self, uri: str) -> str:
        """Return the folder or file that a URI stands for; the URI itself where none does."""
        for start, folder in self.folders:
            if uri == start or uri.startswith(f"{start}/"):
                return folder + uri[len(start) :]
        return uri


def read_descriptions(folder: Path) -> Descriptions:
    """Read every JSON file under a folder."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no folder; expected one with the JSON that aws describe-… printed"
        )
    found: Descriptions = {kind: {} for kind in _FORMS}
    for file in sorted(folder.rglob("*.json")):
        if file.stat().st_size > LONGEST_BYTES:
            continue
        try:
            parsed = json.loads(file.read_bytes())
        except OSError as error:
            raise InputError(f"{file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}: no JSON ({fault_of(error)}); save it again") from error
        for one in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(one, Mapping):
                _add(found, one)
    if not (found["schedules"] or found["alarms"] or found["composites"]):
        raise InputError(
            f"{folder}: no monitoring schedule and no alarm; save some by: aws sagemaker "
            "describe-monitoring-schedule --monitoring-schedule-name NAME > NAME.json"
        )
    return found


def _add(found: Descriptions, document: Document) -> None:
    for key in ("MetricAlarms", "CompositeAlarms"):
        for one in document.get(key) or ():
            _add(found, one)
    for kind, (name, fields) in _FORMS.items():
        if name in document and any(one in document for one in fields):
            found[kind][str(document[name])] = document


def job_of(schedule: Document, definitions: Mapping[str, Document]) -> Job | None:
    """Return what a schedule runs; None where its definition was not saved."""
    config = schedule["MonitoringScheduleConfig"]
    kind = str(config.get("MonitoringType") or schedule.get("MonitoringType") or "DataQuality")
    job = config.get("MonitoringJobDefinition") or definitions.get(
        str(config.get("MonitoringJobDefinitionName"))
    )
    return None if job is None else monitoring_job(kind, job)
