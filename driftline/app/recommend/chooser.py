"""Which form of inference fits: a few questions, each asked only where its answer matters.

The limits are SageMaker's where driftline has none of its own; docs/endpoints.md has both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args

Form = Literal["real-time", "serverless", "asynchronous", "batch"]
Answered = bool | float | str


class Question(NamedTuple):
    """A question, the option that answers it, the type of its answer, and the usual answer."""

    text: str
    flags: str
    kind: Any
    usual: str

    @property
    def option(self) -> Any:  # noqa: ANN401 - a type
        """The annotation of its option."""
        return Annotated[self.kind | None, self.flags, self.text]

    @property
    def words(self) -> tuple[str, ...]:
        """The words that answer it; none: a number does."""
        return ("yes", "no") if self.kind is bool else get_args(self.kind)

    def read(self, text: str) -> Answered:
        """Read what somebody typed, words by their beginning; ValueError: it is no answer."""
        if not self.words:
            return float(text)
        (word,) = (one for one in self.words if one.startswith(text.strip().lower()))
        return word == "yes" if self.kind is bool else word


_Models = Literal["one", "similar", "different", "stages", "share", "candidate"]
QUESTIONS: Mapping[str, Question] = {
    "complete": Question(
        "Is all input there before you start, as files or tables?",
        "--complete/--no-complete", bool, "no",
    ),
    "at_once": Question("Does a caller wait for each answer?", "--at-once/--later", bool, "yes"),
    "payload_mb": Question("How many MB does a request have?", "--payload-mb MB", float, "0.1"),
    "seconds": Question("How many seconds may an answer take?", "--seconds S", float, "1"),
    "models": Question(
        "Which models are there: one, many similar ones, a few different ones that callers name, "
        "stages of one answer, several that share the calls, or a candidate to compare?",
        "--models", _Models, "one",
    ),
    "idle": Question(
        "Are there long times without a call, and may the first one wait?",
        "--idle/--no-idle", bool, "no",
    ),
    "model_gb": Question(
        "How many GB of memory does the model need?", "--model-gb GB", float, "1"
    ),
    "gpu": Question("Does it need a GPU?", "--gpu/--no-gpu", bool, "no"),
}  # fmt: skip
# Asked in turn: the form and its reason where the answer is this one, or a number above this.
_RULES: tuple[tuple[str, bool | float, Form, str], ...] = (
    ("complete", True, "batch", "all input is there: files are scored, and then nothing runs"),
    ("at_once", False, "asynchronous", "nobody waits: a queue takes peaks, answers are files"),
    ("payload_mb", 6.0, "asynchronous", "{:g} MB are more than the {:g} MB of a synchronous call"),
    ("seconds", 60.0, "asynchronous", "{:g} s are more than the {:g} s of a synchronous call"),
    ("idle", False, "real-time", "callers wait, and calls come all the time: so do workers run"),
    ("payload_mb", 4.0, "real-time", "{:g} MB are more than the {:g} MB of a serverless call"),
    ("model_gb", 6.0, "real-time", "{:g} GB are more than the {:g} GB of a serverless worker"),
    ("gpu", True, "real-time", "callers wait, and serverless has no GPU"),
)
_DECLARED: Mapping[Form, str] = {
    "real-time": "Endpoint",
    "serverless": "Endpoint with serverless_config",
    "asynchronous": "Endpoint with async_inference_config",
    "batch": "driftline transform, or driftline job create",
}


class _Makeup(NamedTuple):
    """How models stand together, why, how it is declared, and the forms beside real-time."""

    name: str
    why: str = ""
    declared: str = ""
    forms: tuple[Form, ...] = ()


_SINGLE = _Makeup("single", forms=("serverless", "asynchronous", "batch"))
_MAKEUPS: Mapping[str, _Makeup] = {
    "one": _SINGLE,
    "similar": _Makeup("multi-model", "many models share workers, loaded on demand",
                       "Model with mode: MultiModel"),
    "different": _Makeup("multi-container", "callers name the model that they ask",
                         "Model with mode: Direct"),
    "stages": _Makeup("pipeline", "each stage answers the next one",
                      "Model with mode: Serial", ("asynchronous",)),
    "share": _Makeup("variants", "models share the calls by weight",
                     "Endpoint with production_variants", ("serverless",)),
    "candidate": _Makeup("shadow", "a candidate gets copies of calls",
                         "Endpoint with shadow_production_variants"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """The form that fits, how models stand together in it, why, and how it is declared."""

    form: Form
    makeup: str
    reasons: list[str]
    declared: list[str]


def choose(answer: Callable[[str], Answered]) -> Choice:
    """Choose by the answers to the questions, each asked by its name."""
    form, why = _form(answer)
    makeup, reasons = _MAKEUPS[str(answer("models"))], [why]
    if form == "serverless" and form not in makeup.forms:
        form, reasons = "real-time", [f"callers wait, and {makeup.name} cannot be serverless"]
    if form not in ("real-time", *makeup.forms):
        noun = "a job asks one model" if form == "batch" else "such an endpoint has one variant"
        reasons.append(f"{noun}: declare one for each model")
        makeup = _SINGLE
    if makeup is _SINGLE:
        return Choice(form, makeup.name, reasons, [_DECLARED[form]])
    reasons.append(f"{makeup.name}: {makeup.why}")
    return Choice(form, makeup.name, reasons, [_DECLARED[form], makeup.declared])


def _form(answer: Callable[[str], Answered]) -> tuple[Form, str]:
    """Return the form that fits one model, and why."""
    for name, limit, form, why in _RULES:
        said = answer(name)
        applies = said is limit if isinstance(limit, bool) else float(said) > limit
        if applies:
            return form, why.format(said, limit)
    return "serverless", "calls are rare, and may wait for a start: workers run while they answer"
