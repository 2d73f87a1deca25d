"""Which form of inference fits: a few questions, each asked only where its answer matters.

The limits are SageMaker's where driftline has none of its own; docs/endpoints.md has both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Form = Literal["real-time", "serverless", "asynchronous", "batch"]
Makeup = Literal["single", "multi-model", "multi-container", "pipeline", "variants", "shadow"]

# What a synchronous request of SageMaker may have: MB, seconds; serverless: MB, and GB of a model.
SYNC_MB, SYNC_S, SERVERLESS_MB, SERVERLESS_GB = 6.0, 60.0, 4.0, 6.0


Answered = bool | float | str
_YES_NO = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Question:
    """A question for one of some words, yes or no by default; without words, for a number."""

    text: str
    default: str
    words: tuple[str, ...] = _YES_NO

    def read(self, text: str) -> Answered:
        """Read what somebody typed, words by their beginning; ValueError: it is no answer."""
        if not self.words:
            return float(text)
        (word,) = (one for one in self.words if one.startswith(text.strip().lower()))
        return word == "yes" if self.words is _YES_NO else word

    @property
    def asked(self) -> str:
        """The question, with what may be answered."""
        return f"{self.text} ({', '.join(self.words)})" if self.words else self.text


_MODELS: Mapping[str, Makeup] = {
    "one": "single", "similar": "multi-model", "different": "multi-container",
    "stages": "pipeline", "share": "variants", "candidate": "shadow",
}  # fmt: skip
QUESTIONS: Mapping[str, Question] = {
    "complete": Question("Is all input there before you start, as files or tables?", "no"),
    "at_once": Question("Does a caller wait for each answer?", "yes"),
    "payload_mb": Question("How many MB does a request have?", "0.1", ()),
    "seconds": Question("How many seconds may an answer take?", "1", ()),
    "models": Question(
        "Which models are there: one, many similar ones, a few different ones that callers name, "
        "stages of one answer, several that share the calls, or a candidate to compare?",
        "one",
        tuple(_MODELS),
    ),
    "idle": Question("Are there long times without a call, and may the first one wait?", "no"),
    "model_gb": Question("How many GB of memory does the model need?", "1", ()),
    "gpu": Question("Does it need a GPU?", "no"),
}
# Why, and what is declared beside what the form needs.
_MAKEUPS: Mapping[Makeup, tuple[str, str]] = {
    "multi-model": ("many models share workers, loaded on demand", "Model with mode: MultiModel"),
    "multi-container": ("callers name the model that they ask", "Model with mode: Direct"),
    "pipeline": ("each stage answers the next one", "Model with mode: Serial"),
    "variants": ("models share the calls by weight", "Endpoint with production_variants"),
    "shadow": ("a candidate gets copies of calls", "Endpoint with shadow_production_variants"),
}
_DECLARED: Mapping[Form, str] = {
    "real-time": "Endpoint",
    "serverless": "Endpoint with serverless_config",
    "asynchronous": "Endpoint with async_inference_config",
    "batch": "driftline transform, or driftline job create",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The form that fits, how models stand together in it, why, and how it is declared."""

    form: Form
    makeup: Makeup
    reasons: tuple[str, ...]

    @property
    def declared(self) -> list[str]:
        """What is declared or called for it."""
        return [_DECLARED[self.form], *_MAKEUPS.get(self.makeup, ())[1:]]


def choose(answer: Callable[[str], Answered]) -> Choice:
    """Choose by the answers to the questions, each asked by its name."""
    form, why = _form(answer)
    makeup, reasons = _MODELS[str(answer("models"))], [why]
    if form == "serverless" and makeup not in ("single", "variants"):
        reasons = [f"callers wait, and {makeup} cannot be served serverless"]
        form = "real-time"
    alone = {"batch": ("single",), "asynchronous": ("single", "pipeline")}.get(form)
    if alone is not None and makeup not in alone:
        noun = "a job asks one model" if form == "batch" else "such an endpoint has one variant"
        reasons.append(f"{noun}: declare one for each model")
        makeup = "single"
    if makeup != "single":
        reasons.append(f"{makeup}: {_MAKEUPS[makeup][0]}")
    return Choice(form, makeup, tuple(reasons))


def _form(answer: Callable[[str], Answered]) -> tuple[Form, str]:
    """Return the form that fits one model, and why."""
    if answer("complete"):
        return "batch", "all input is there: files are scored in order, and then nothing runs"
    if not answer("at_once"):
        return "asynchronous", "nobody waits: a queue takes the peaks, and answers are files"
    payload_mb, seconds = float(answer("payload_mb")), float(answer("seconds"))
    for asked, most, unit in ((payload_mb, SYNC_MB, "MB"), (seconds, SYNC_S, "s")):
        if asked > most:
            why = f"{asked:g} {unit} are more than the {most:g} {unit} of a call that is waited for"
            return "asynchronous", why
    if not answer("idle"):
        return "real-time", "callers wait, and calls come all the time: so do workers run"
    if payload_mb > SERVERLESS_MB:
        return "real-time", f"callers wait, and serverless takes {SERVERLESS_MB:g} MB a request"
    if (model_gb := float(answer("model_gb"))) > SERVERLESS_GB:
        why = f"callers wait, and {model_gb:g} GB are more than the {SERVERLESS_GB:g} of serverless"
        return "real-time", why
    if answer("gpu"):
        return "real-time", "callers wait, and serverless has no GPU"
    return "serverless", "calls are rare, and may wait for a start: workers run while they answer"
