"""From a declared Baseline to a version of it: read, fitted and, with a model, explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from driftline.baseline import store as baselines
from driftline.baseline.scripting import preprocessed, script_in
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.formats.source import Source, open_source
from driftline.monitors.captured_baseline import (
    EVENT_TIME,
    captured_rows,
    require_over,
    rows_origin,
)
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.catalog import complete
from driftline.roles import Roles
from driftline.serving.context import ServerContext
from driftline.serving.hosting.asked_models import AskedModel, AskedModels
from driftline.serving.hosting.formats.model_format import BODIES, NOT_EXPLAINED
from driftline.serving.hosting.worker_spec import WorkerSpec
from driftline.serving.provisioning.renewal import require_answerable_followers
from driftline.serving.provisioning.signatures import positive_class
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature
from driftline.serving.resources.specs import BaselineSpec, CapturedData
from driftline.serving.resources.store import Stored

Made = Mapping[str, Any]
# What of a spec does not decide about the result, besides the data's bytes.
_APART = ("data", "promote", "rolling")
ROLE_FIELDS = set(BaselineSpec.model_fields) - {"model", "segments", "preprocess", *_APART}


def make_baseline(
    context: ServerContext, row: Stored, is_wanted: Callable[[str | None], bool]
) -> Made | None:
    """Keep a version of the declared data, if it is another one; return what is in use then.

    ``is_wanted``: whether a version by the model of this digest is still waited for; None, and
    nothing is kept, where it is not.
    """
    spec, before = BaselineSpec.model_validate(row.spec), row.made
    model = None if spec.model is None else _model_named(context, spec.model)
    digest = None if model is None else model["digest"]
    made = {**row.content, "model_digest": digest}
    is_same = bool(before) and made.items() <= before.items()
    if is_same and _deciding(before["spec"]) == _deciding(row.spec):
        return {**before, "spec": row.spec}
    baseline, origin = _fitted(context, spec, model)
    is_candidate = bool(before) and spec.promote == "manual"
    if not is_candidate:
        require_answerable_followers(context, row.name, baseline)
    if not is_wanted(digest):
        return None
    version = baselines.put(context.root, row.name, baseline, context.now, origin)
    if is_candidate:
        return {**before, **made, "spec": row.spec}
    signature = baseline.signature.to_json()
    return {**made, "spec": row.spec, "version": version, "signature": signature}


def _fitted(
    context: ServerContext, spec: BaselineSpec, model: Made | None
) -> tuple[baselines.Baseline, Mapping[str, object]]:
    """Fit a baseline; return it, and what it is made of."""
    roles = Roles.of(**spec.model_dump(include=ROLE_FIELDS))
    data: object = spec.data
    origin: Mapping[str, object] = {"data": spec.data}
    if isinstance(spec.data, CapturedData):
        data, origin = _captured(context, spec)
        roles = replace(roles, timestamp=roles.timestamp or EVENT_TIME)
    elif spec.preprocess is not None:
        script = script_in(context.settings.scheduler.scripts_dir, spec.preprocess)
        data = preprocessed(data, script, quiet=True, discreet=True)
    classes = () if model is None else model["description"]["classes"]
    fitted = baselines.Baseline.of(data, roles, segments=spec.segments, model_classes=classes)
    if model is not None:
        fitted = _explained(context, spec, data, fitted, model)
    # With the documents of all kinds, so that they can be read and changed where they lie.
    return complete(fitted), origin


def _captured(context: ServerContext, spec: BaselineSpec) -> tuple[Source, Mapping[str, object]]:
    """Open the captured rows that a spec names, and say which these are."""
    if spec.preprocess is not None:
        raise InputError("preprocess with captured data; expected files, which it can read")
    name, start, end = (getattr(spec.data, one) for one in ("endpoint", "from", "to"))
    window = Window(start, end)
    require_over(window, context.now())
    signature = require_signature(context.engine, name)
    names = [one.name for one in (*signature.inputs, *signature.outputs)]
    rows = captured_rows(context.root, name, names, window, signature)
    return rows, rows_origin(window, endpoint=name)


def _model_named(context: ServerContext, name: str) -> Made:
    """Return what a model consists of that explains."""
    with read_connection(context.engine) as connection:
        made = store.get_ready(connection, "Model", name).made
    if "file" not in made:
        raise InputError(f'model "{name}" is many models; expected one of mode SingleModel')
    return made


def _explained(
    context: ServerContext,
    spec: BaselineSpec,
    data: object,
    fitted: baselines.Baseline,
    model: Made,
) -> baselines.Baseline:
    """Add how much each feature counts for the model, asked in a process of its own."""
    if model["description"]["kind"] == BODIES:
        raise InputError(NOT_EXPLAINED)
    launch = WorkerSpec(
        str(context.models.fetch(model["file"])),
        # What was trusted once may be no more.
        trust_pickle=context.settings.serving.trust_pickle and model["trust_pickle"],
        positive=positive_class(fitted.signature, model["description"], chosen=spec.positive),
    )
    with AskedModels(start_timeout_s=context.start_timeout_s) as models:
        predict = AskedModel(models, launch, model["digest"])
        return explain_reference(open_source(data), fitted, predict)


def _deciding(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a spec decides about the result, besides the data's bytes.

    What is not said and what is said to be nothing are the same.
    """
    return {key: one for key, one in spec.items() if key not in _APART and one not in (None, [])}
