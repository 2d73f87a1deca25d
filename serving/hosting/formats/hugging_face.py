"""Model folders of Hugging Face, answered by the pipeline of their task.

Bodies are those of SageMaker's Hugging Face toolkit: ``{"inputs": …, "parameters": {…}}``, answered
by what the pipeline returns.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from driftline.errors import InputError
from driftline.serving.bodies.media_types import NotAcceptableError, UnsupportedMediaError
from driftline.serving.hosting.formats.default_functions import JSON, plain
from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.model_format import BodyModel, ModelError

# By the end of the architecture's name, as the toolkit tells the task. Pipelines of images and
# sounds are none of them: they read whatever file or address the caller names.
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "Model": "feature-extraction",
}
# What a caller may set: pipelines take more, such as processes to start and code to load.
PARAMETERS = frozenset(
    {
        *("aggregation_strategy", "do_sample", "doc_stride", "early_stopping", "function_to_apply"),
        *("handle_impossible_answer", "ignore_labels", "length_penalty", "max_answer_len"),
        *("max_length", "max_new_tokens", "max_question_len", "max_seq_len", "min_length"),
        *("min_new_tokens", "no_repeat_ngram_size", "num_beams", "num_return_sequences"),
        *("padding", "repetition_penalty", "return_full_text", "stride", "targets", "temperature"),
        *("top_k", "top_p", "truncation", "typical_p"),
    }
)
QUESTION = frozenset({"question", "context"})


class PipelineModel(BodyModel):
    """A pipeline of transformers."""

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 - foreign object
        self._pipeline = pipeline

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Answer one request by the pipeline."""
        if plain(content_type) != JSON:
            raise UnsupportedMediaError(f'Content-Type is "{content_type[:80]}"; expected {JSON}')
        if accept.strip() and "*/*" not in accept and plain(accept) != JSON:
            raise NotAcceptableError(f'Accept is "{accept[:80]}"; expected {JSON}')
        inputs, parameters = _read(body)
        if isinstance(inputs, dict):
            found = self._pipeline(**inputs, **parameters)
        else:
            found = self._pipeline(inputs, **parameters)
        try:
            return json.dumps(found, default=_number, allow_nan=False).encode(), JSON
        except ValueError as error:
            raise ModelError(f"the answer has a number that JSON has not ({error})") from error


def read(folder: Path) -> PipelineModel:
    """Read a model folder of Hugging Face."""
    task = _task(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"  # What is not in the folder is nowhere.
    for name in ("torch", "transformers"):
        found = library(name, folder, install="torch transformers")
    return PipelineModel(found.pipeline(task, model=str(folder), device="cpu"))


def _task(folder: Path) -> str:
    """Return the task of a model, which its architecture tells."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        named = config.get("architectures") or ["none"]
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder.name} has no config.json that can be read ({error})") from error
    architecture = str(named[0])
    for end, task in TASKS.items():
        if architecture.endswith(end):
            return task
    raise ModelError(
        f"{folder.name} is of the architecture {architecture[:80]}; expected one that ends with "
        f"{', '.join(TASKS)}; serve others by code/inference.py in a model.tar.gz"
    )


def _read(body: bytes) -> tuple[Any, dict[str, Any]]:
    """Read what a pipeline is asked, and how."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not {JSON} ({error})") from error
    if not isinstance(document, dict) or "inputs" not in document:
        raise InputError('the body has no "inputs"; expected {"inputs": …, "parameters": {…}}')
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InputError('"parameters" is no object; expected {"inputs": …, "parameters": {…}}')
    if unknown := sorted(parameters.keys() - PARAMETERS):
        raise InputError(
            f'parameter "{unknown[0][:80]}" is not taken; expected {", ".join(sorted(PARAMETERS))}'
        )
    inputs = document["inputs"]
    if isinstance(inputs, dict) and inputs.keys() != QUESTION:
        raise InputError('"inputs" is an object; expected texts, or {"question": …, "context": …}')
    return inputs, parameters


def _number(value: Any) -> Any:  # noqa: ANN401 - what JSON has no word for
    """Return numbers of NumPy and PyTorch as JSON's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ModelError(f"the pipeline answered a {type(value).__name__}; expected numbers and text")
