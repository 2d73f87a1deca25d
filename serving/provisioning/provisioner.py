"""From planned resources to their artifacts: model copies, baselines, signatures.

All of it happens before the one transaction that stores the result, and is recorded with how to
undo it, so that a failed apply leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from driftline.baseline import store as baselines
from driftline.baseline.scripting import preprocessed, script_in
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError
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
from driftline.serving.hosting.child import Child, Launch
from driftline.serving.hosting.formats.model_format import BODIES, NOT_EXPLAINED
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.alike import most_alike
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import describe_model
from driftline.serving.provisioning.containers import of_containers
from driftline.serving.provisioning.plan import Planned
from driftline.serving.provisioning.signatures import (
    bodies_signature,
    endpoint_signature,
    positive_class,
    predicted_type,
    require_match,
    shared_signature,
    succeed,
    unknown_levels,
)
from driftline.serving.resources import store
from driftline.serving.resources.answers import answers_several
from driftline.serving.resources.endpoints import require_signature
from driftline.serving.resources.resources import ResourceError, key_of
from driftline.serving.resources.specs import (
    BaselineSpec,
    CapturedData,
    FileModel,
    MultiModel,
    Pipeline,
    ProgramModel,
    command_of,
    containers_of,
    variants_and_shadows,
)
from driftline.serving.resources.store import Stored
from driftline.signature import Signature

log = logging.getLogger(__name__)

Made = Mapping[str, Any]
_NUMBERS = {"double", "int64"}
_WORDS = {"double": "numbers", "int64": "whole numbers", "string": "texts", "bool": "truth values"}
ROLE_FIELDS = set(BaselineSpec.model_fields) - {
    "data", "model", "segments", "preprocess", "promote", "rolling",
}  # fmt: skip


class Provisioner:
    """Makes what planned resources need, and can take all of it back.

    ``hold`` receives the model files that are about to be declared, also kept as ``held``;
    ``loaded``: processes that have loaded a new model, by its file: starting one takes seconds, so
    pools take them over. The owner of the provisioner stops those that are left.
    """

    def __init__(self, context: ServerContext, hold: Callable[[list[str]], None]) -> None:
        self._context = context
        self._hold = hold
        self._store = context.models
        self._undo: list[Callable[[], None]] = []
        self._models: dict[str, Made] = {}
        self.loaded: dict[str, Child] = {}
        self.held: list[str] = []

    async def make(self, planned: Planned, source: str | None) -> Made:
        """Make what one resource stands for, or give what was made before if that still holds."""
        resource = planned.resource
        try:
            match resource.spec:
                case Pipeline():
                    # What they answer is looked up when an endpoint is made, which follows them.
                    return {
                        "trust_pickle": self._context.settings.serving.trust_pickle,
                        "description": None,
                    }
                case MultiModel() as spec:
                    examples = (source or "").split()
                    made = await self._many_models(planned, spec, examples)
                    self._models[resource.key] = made
                    return made
                case FileModel() | ProgramModel() as spec:
                    made = await self._model(planned, spec, Path(source or ""))
                    self._models[resource.key] = made
                    return made
                case BaselineSpec() as spec:
                    return await asyncio.to_thread(self._baseline, planned, spec)
        except InputError as error:
            raise ResourceError(f"{resource}: {error}") from error
        except OSError as error:
            raise UnavailableError(f"{resource}: the storage root fails ({error})") from error
        return {}

    async def close(self) -> None:
        """Stop the processes that nobody took over."""
        while self.loaded:
            _, child = self.loaded.popitem()
            await child.stop()

    def undo(self) -> None:
        """Take back everything that was made."""
        while self._undo:
            self._undo.pop()()

    def _remove(self, baseline: str, version: str) -> None:
        """Remove a version, unless another server has made the same one and uses it."""
        with read_connection(self._context.engine) as connection:
            row = store.find(connection, "Baseline", baseline)
        if row is None or row.made["version"] != version:
            baselines.remove(self._context.root, baseline, version)

    async def _model(self, planned: Planned, spec: FileModel | ProgramModel, file: Path) -> Made:
        trusted = self._context.settings.serving.trust_pickle and (
            isinstance(spec, ProgramModel) or spec.trust_pickle is not False
        )
        command, memory_bytes = command_of(planned.spec)
        before = planned.before
        if (
            before is not None
            and not planned.is_new_content
            and command_of(before.spec) == (command, memory_bytes)
        ):
            return {**before.made, "trust_pickle": trusted}
        digest = planned.content["digest"]
        name = planned.resource.name.casefold()
        copy = self._store.put(name, file, digest)
        # Before it is made: no other server may take it for one that nobody needs. It is not taken
        # back here, where another server may have declared it meanwhile.
        self.held.append(copy.path)
        await asyncio.to_thread(self._hold, [copy.path])
        await asyncio.to_thread(copy.make)
        launch = Launch(
            str(self._store.path(copy.path)), trust_pickle=trusted, name=planned.resource.name,
            command=command, trust_commands=self._context.settings.serving.trust_commands,
            memory_bytes=memory_bytes,
        )  # fmt: skip
        # Of a command, which tells little by itself, whoever applies it may read what it printed.
        prints = LogFile(self._context.model_logs_dir, launch.name) if command else None
        description, child = await describe_model(
            launch, timeout_s=self._context.start_timeout_s, prints=prints
        )
        self.loaded[launch.path] = child
        return {
            "digest": digest,
            "file": copy.path,
            "trust_pickle": trusted,
            "description": description,
        }

    async def _many_models(
        self, planned: Planned, spec: MultiModel, examples: Sequence[str]
    ) -> Made:
        """Learn from some models below a prefix what most of them take and answer."""
        trusted = self._context.settings.serving.trust_pickle and spec.trust_pickle is not False
        if planned.before is not None and not planned.is_new_content:
            return {**planned.before.made, "trust_pickle": trusted}
        found = {"digest": planned.content["digest"], "trust_pickle": trusted}
        files = FileCache(
            spec.model_data_prefix, self._store.local_folder, spec.disk_limit_mb << 20,
            self._context.reach.check,
        )  # fmt: skip
        _, memory_bytes = command_of(planned.spec)
        problem: InputError | None = None
        known: list[Mapping[str, Any]] = []
        try:
            for example in examples:
                try:
                    known.append(await self._about(files, example, trusted, memory_bytes))
                except InputError as error:
                    problem = problem or InputError(f'model "{example}" below the prefix: {error}')
                if known and most_alike(known)[1] > len(examples) // 2:
                    break  # The rest could not outvote them.
        finally:
            await files.close()
        if problem is not None and not known:
            raise problem
        return {**found, "description": most_alike(known)[0] if known else None}

    async def _about(
        self, files: FileCache, example: str, trusted: bool, memory_bytes: int | None
    ) -> Mapping[str, Any]:
        """Return what one of many models says about itself."""
        async with files.copy(example) as (copy, _):
            launch = Launch(
                str(copy.path), trust_pickle=trusted, name=example, memory_bytes=memory_bytes
            )
            timeout_s = self._context.start_timeout_s
            description, child = await describe_model(launch, timeout_s=timeout_s)
            await child.stop()
        return description

    def _baseline(self, planned: Planned, spec: BaselineSpec) -> Made:
        before = planned.before
        model = None if spec.model is None else self._model_named(spec.model)
        digest = None if model is None else model["digest"]
        if (
            before is not None
            and not planned.is_new_content
            and before.made.get("model_digest") == digest
            and _roles(before.spec) == _roles(planned.spec)
        ):
            return before.made
        name, root = planned.resource.name, self._context.root
        known = baselines.versions(root, name)
        roles = Roles.of(**spec.model_dump(include=ROLE_FIELDS))
        data: object = spec.data
        origin: Mapping[str, object] = {"data": spec.data}
        if isinstance(spec.data, CapturedData):
            data, origin = self._captured(spec)
            roles = replace(roles, timestamp=roles.timestamp or EVENT_TIME)
        elif spec.preprocess is not None:
            script = script_in(self._context.settings.scheduler.scripts_dir, spec.preprocess)
            data = preprocessed(data, script, quiet=True, discreet=True)
        classes = () if model is None else model["description"]["classes"]
        fitted = baselines.Baseline.of(data, roles, segments=spec.segments, model_classes=classes)
        if model is not None:
            fitted = self._explained(spec, data, fitted, model)
        # With the documents of all kinds, so that they can be read and changed where they lie.
        baseline = complete(fitted)
        version = baselines.put(root, name, baseline, self._context.now, origin)
        if version not in known:
            self._undo.append(partial(self._remove, name, version))
        if before is not None and spec.promote == "manual":  # A candidate.
            return {**before.made, **planned.content, "model_digest": digest}
        return {
            **planned.content,
            "version": version,
            "signature": baseline.signature.to_json(),
            "model_digest": digest,
        }

    def _captured(self, spec: BaselineSpec) -> tuple[Source, Mapping[str, object]]:
        """Open the captured rows that a spec names, and say which these are."""
        if spec.preprocess is not None:
            raise InputError("preprocess with captured data; expected files, which it can read")
        name, start, end = (getattr(spec.data, one) for one in ("endpoint", "from", "to"))
        window = Window(start, end)
        require_over(window, self._context.now())
        signature = require_signature(self._context.engine, name)
        names = [one.name for one in (*signature.inputs, *signature.outputs)]
        rows = captured_rows(self._context.root, name, names, window, signature)
        return rows, rows_origin(window, endpoint=name)

    def _model_named(self, name: str) -> Made:
        """Return what was made of a model, now or before."""
        made = self._models.get(key_of("Model", name))
        if made is None:
            with read_connection(self._context.engine) as connection:
                made = store.get(connection, "Model", name).made
        if "file" not in made:
            raise InputError(f'model "{name}" is many models; expected one of mode SingleModel')
        return made

    def _explained(
        self, spec: BaselineSpec, data: object, fitted: baselines.Baseline, model: Made
    ) -> baselines.Baseline:
        """Add how much each feature counts for the model, asked in a process of its own."""
        if model["description"]["kind"] == BODIES:
            raise InputError(NOT_EXPLAINED)
        launch = Launch(
            str(self._store.fetch(model["file"])),
            # What was trusted once may be no more.
            trust_pickle=self._context.settings.serving.trust_pickle and model["trust_pickle"],
            positive=positive_class(fitted.signature, model["description"], chosen=spec.positive),
        )
        timeout_s = self._context.start_timeout_s
        with AskedModels(start_timeout_s=timeout_s) as models:
            predict = AskedModel(models, launch, model["digest"])
            return explain_reference(open_source(data), fitted, predict)


def make_endpoint(
    name: str,
    spec: Mapping[str, Any],
    models: Mapping[str, Made],
    baseline: Stored | None,
    before: Stored | None,
) -> Made:
    """Return an endpoint's signature and positive class from its models and its baseline.

    ``models``: what was made of the model of each variant; empty if an app of its own answers.
    """
    try:
        declared = _declared(spec, None if baseline is None else baseline.made)
        if not models:
            assert declared is not None  # The check of the spec asks for one of both.
            positive, signature = None, declared.as_captured()
        else:
            made = _of_variants(models, declared, {} if baseline is None else baseline.spec)
            if made[1] is None:
                return {"signature": None, "positive": made[0]}
            positive, signature = made[0], made[1]
            _warn_of_unknown(name, models, declared)
    except InputError as error:
        raise InputError(f'Endpoint "{name}": {error}') from error
    old = None if before is None else before.made.get("signature")
    signature = succeed(None if old is None else Signature.from_json(old), signature)
    return {"signature": signature.to_json(), "positive": positive}


def _warn_of_unknown(endpoint: str, models: Mapping[str, Made], declared: Signature | None) -> None:
    """Log which columns of the reference hold values that are missing to a model, and how many."""
    inputs = () if declared is None else declared.inputs
    for variant, model in models.items():
        for column, unknown in unknown_levels(inputs, model["description"]):
            log.warning(
                "endpoint=%s variant=%s column=%s event=values-unknown-to-the-model count=%d of=%d",
                endpoint, variant, column.name, len(unknown), len(column.levels or ()),
            )  # fmt: skip


def _of_variants(
    models: Mapping[str, Made], declared: Signature | None, roles: Mapping[str, Any]
) -> tuple[str | None, Signature | None]:
    """Return the positive class and the signature that all variants of an endpoint share.

    They are captured into one table, where one column has one meaning. A model that answers bodies
    does not say which classes it has: it is captured as the others.
    """
    known: tuple[str, str | None, Signature | None] | None = None
    unknown: tuple[str, str | None, Signature | None] | None = None
    chosen = roles.get("positive")
    what = "containers" if any("/" in variant for variant in models) else "variants"
    for variant, model in models.items():
        description = model["description"]
        if description is None:
            if declared is None:
                return None, None
            raise InputError(
                "no model lies below its model_data_prefix yet, so that nobody knows what they "
                "answer; put one there, and apply its Model again"
            )
        try:
            positive = positive_class(declared, description, chosen=chosen)
            signature = None
            if declared is not None:
                require_match(declared.inputs, description)
                signature = (
                    bodies_signature(declared, roles)
                    if description["kind"] == BODIES
                    else endpoint_signature(declared, description, chosen=chosen)
                )
        except InputError as error:
            raise InputError(
                f'{what[:-1]} "{variant}": {error}' if len(models) > 1 else str(error)
            ) from error
        found = variant, positive, signature
        if description["kind"] == BODIES:
            unknown = found
        elif known is None:
            known = found
        elif known[1:] != found[1:]:
            raise _others(what, known[0], variant, *map(_answers, (models[known[0]], model)))
    if known is not None and unknown is not None:
        wanted, said = predicted_type(known[2]), predicted_type(unknown[2])
        if not (None in (wanted, said) or wanted in (said, "string") or {wanted, said} <= _NUMBERS):
            told = f"{_WORDS.get(str(said), 'lists')}, as the reference has"
            raise _others(what, known[0], unknown[0], _answers(models[known[0]]), told)
        if known[2] is not None and unknown[2] is not None:
            return known[1], shared_signature(known[2], unknown[2])
    shared = known or unknown
    assert shared is not None
    return shared[1:]


def _others(what: str, one: str, other: str, said: str, told: str) -> InputError:
    return InputError(
        f'{what} "{one}" and "{other}" answer other classes or types: {said} against {told}; '
        "expected the same of all"
    )


def _answers(model: Made) -> str:
    """Return in a few words what a model answers."""
    description = model["description"]
    kind = str(description["class_type"])
    words = ", ".join(description["classes"][:8]) or _WORDS.get(kind, kind)
    return (
        f"lists of {description['answer_width']} {words}" if answers_several(description) else words
    )


def _declared(spec: Mapping[str, Any], baseline: Made | None) -> Signature | None:
    if baseline is not None:
        return Signature.from_json(baseline["signature"])
    if spec["signature"] is None:
        return None
    try:
        return Signature.from_json(json.dumps(spec["signature"]))
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"signature: a value is of the wrong type ({error})") from error


def _roles(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a baseline's spec decides about the result, besides the data's bytes.

    What is not said and what is said to be nothing are the same.
    """
    apart = ("data", "promote", "rolling")
    return {key: one for key, one in spec.items() if key not in apart and one not in (None, [])}


def stored_endpoint(
    connection: Connection, name: str, spec: Mapping[str, object], before: Stored | None
) -> Made:
    """Make an endpoint from the rows of its model, if any, and its baseline as they are now."""
    models: dict[str, Made] = {}
    for variant in variants_and_shadows(spec):
        own, model = variant["variant_name"], store.get(connection, "Model", variant["model_name"])
        parts = {
            hostname: store.get(connection, "Model", part).made
            for hostname, part in containers_of(model.spec).items()
        }
        models |= of_containers(own, model.spec["mode"], parts) if parts else {own: model.made}
    baseline = None
    if spec["baseline"] is not None:
        baseline = store.get(connection, "Baseline", str(spec["baseline"]))
    made = make_endpoint(name, spec, models, baseline, before)
    # Not of the plan: it may have changed since.
    found = store.find(connection, "Endpoint", name)
    kept = {} if found is None else found.made
    return {**made, **{key: kept[key] for key in ("deployed",) if key in kept}}
