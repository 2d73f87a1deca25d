"""Networks saved by their own libraries and served by driftline: what they answer, and its cost.

``PYTHONPATH=. PYTHON bench/model_formats.py`` in an environment that has driftline and any of
torch, tensorflow-cpu, keras and transformers; formats whose library is missing are left out. Each
model is saved, served by an endpoint of one installation, and held against what its library answers
in this process. Prints Markdown.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench.hosting_soak import call, installation, resource
from bench.processes import below, memory_mib
from tests.servers.ports import free_port

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
ROWS = np.random.default_rng(1).normal(size=(64, 6)).astype("float32")
CALLS = 200
TEXTS = ["late again", "right on time"]
# Of a saved model: its path, and what its library answers.
Saved = tuple[Path, "np.ndarray | list[object]"]


def torch_module():  # noqa: ANN201 - of a library that may be missing
    """Make a small network."""
    import torch

    torch.manual_seed(1)
    layers = torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1), torch.nn.Sigmoid()
    return torch.nn.Sequential(*layers).eval()


def answered(module) -> np.ndarray:  # noqa: ANN001 - as above
    """Return what a network of PyTorch answers."""
    import torch

    with torch.no_grad():
        return module(torch.from_numpy(ROWS)).numpy()


def exported(folder: Path) -> Saved:
    import torch

    module, file = torch_module(), folder / "m.pt2"
    rows = torch.export.Dim("rows")
    program = torch.export.export(
        module, (torch.from_numpy(ROWS),), dynamic_shapes=({0: rows},)
    )  # fmt: skip
    torch.export.save(program, file)
    return file, answered(module)


def script(folder: Path) -> Saved:
    import torch

    module, file = torch_module(), folder / "m.pt"
    torch.jit.script(module).save(file)
    return file, answered(module)


def pickled(folder: Path) -> Saved:
    import torch

    module, file = torch_module(), folder / "m.pth"
    torch.save(module, file)
    return file, answered(module)


def artefact(folder: Path) -> Saved:
    """Save a SageMaker artefact whose model_fn returns a network."""
    import torch

    from tests.serving.hosting.formats.archives import pack

    module, file = torch_module(), folder / "weights.pth"
    torch.save(module.state_dict(), file)
    code = (
        "import os, torch\n"
        "def model_fn(folder):\n"
        "    layers = torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)\n"
        "    module = torch.nn.Sequential(*layers, torch.nn.Sigmoid())\n"
        "    module.load_state_dict(torch.load(os.path.join(folder, 'weights.pth')))\n"
        "    return module\n"
    )
    members = {
        "weights.pth": file.read_bytes(),
        "code/inference.py": code,
        "code/requirements.txt": "torch>=2\n",
    }
    return pack(folder / "model.tar.gz", members), answered(module)


def keras_model():  # noqa: ANN201 - as above
    """Make a small network of Keras."""
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    return model, np.asarray(model.predict(ROWS, verbose=0))


def keras_file(folder: Path) -> Saved:
    model, expected = keras_model()
    model.save(folder / "m.keras")
    return folder / "m.keras", expected


def hdf5(folder: Path) -> Saved:
    model, expected = keras_model()
    model.save(folder / "m.h5")
    return folder / "m.h5", expected


def saved_model(folder: Path) -> Saved:
    model, expected = keras_model()
    model.export(folder / "model", verbose=False)
    return folder / "model", expected


def hugging_face(folder: Path) -> Saved:
    """Save a text classifier of random weights, and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

    torch.manual_seed(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "late", "again", "right", "on", "time"]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words))
    place = folder / "text"
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(place)
    BertTokenizerFast(vocab_file=str(vocabulary)).save_pretrained(place)
    return place, list(pipeline("text-classification", model=str(place), device="cpu")(TEXTS))


FORMATS: dict[str, tuple[str, Callable[[Path], Saved]]] = {
    "PyTorch, exported program (.pt2)": ("torch", exported),
    "PyTorch, TorchScript (.pt)": ("torch", script),
    "PyTorch, pickled module (.pth)": ("torch", pickled),
    "PyTorch in model.tar.gz with model_fn": ("torch", artefact),
    "Keras (.keras)": ("keras", keras_file),
    "Keras, HDF5 (.h5)": ("keras", hdf5),
    "TensorFlow SavedModel": ("tensorflow", saved_model),
    "Hugging Face, text classification": ("transformers", hugging_face),
}


def ask(link: http.client.HTTPConnection, name: str, body: bytes, kind: str) -> bytes:
    """Ask an endpoint."""
    link.request("POST", f"/endpoints/{name}/invocations", body, {"Content-Type": kind})
    answer = link.getresponse()
    found = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {found[:300]!r}")
    return found


def largest_difference(found: bytes, expected: np.ndarray | list[object]) -> float:
    """Return by how much an answer differs from the library's, at most."""
    if isinstance(expected, np.ndarray):
        numbers = np.array([float(line) for line in found.decode().split()])
        return float(np.abs(numbers - expected.ravel()).max())
    answers = json.loads(found)
    pairs = list(zip(answers, expected, strict=True))
    assert all(one["label"] == other["label"] for one, other in pairs), answers
    return max(abs(one["score"] - other["score"]) for one, other in pairs)


def measure(name: str, port: int, pid: int, saved: Saved) -> str:
    """Serve a model and return a row of the table."""
    path, expected = saved
    before = set(below(pid))
    began_s = time.monotonic()
    resources = [
        resource("Model", name, path=str(path), trust_pickle=True),
        resource("Endpoint", name, model=name),
    ]
    found = call(port, "POST", "/api/v1/apply", {"resources": resources})
    state = found["endpoints"][name]
    if state["state"] != "InService":
        raise RuntimeError(f"{name}: {state}")
    ready_s = time.monotonic() - began_s
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    is_text = not isinstance(expected, np.ndarray)
    kind = "application/json" if is_text else "text/csv"
    lines = [",".join(map(repr, map(float, row))) for row in ROWS]
    body = json.dumps({"inputs": TEXTS}).encode() if is_text else "\n".join(lines).encode()
    single = json.dumps({"inputs": TEXTS[0]}).encode() if is_text else lines[0].encode()
    difference = largest_difference(ask(link, name, body, kind), expected)
    times = []
    for _ in range(CALLS):
        sent_s = time.perf_counter()
        ask(link, name, single, kind)
        times.append(time.perf_counter() - sent_s)
    link.close()
    worker = sum(memory_mib(one) for one in set(below(pid)) - before)
    median = float(np.median(times)) * 1000
    return f"{difference:.1e} | {ready_s:.1f} | {median:.1f} | {worker:.0f} |"


def main() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder, port = Path(place).resolve(), free_port()
        saved: dict[str, Saved] = {}
        for number, (what, (library, save)) in enumerate(FORMATS.items()):
            if find_spec(library) is None:
                print(f"{what}: {library} is not installed", file=sys.stderr)
                continue
            (folder / str(number)).mkdir()
            saved[what] = save(folder / str(number))
        with installation(folder, port, "trust_pickle = true\n") as pid:
            for number, (what, model) in enumerate(saved.items()):
                rows.append(f"| {what} | {measure(f'm{number}', port, pid, model)}")
                print(rows[-1], file=sys.stderr)
    print("# Networks, served\n")
    print(
        f"`bench/model_formats.py`, {datetime.now(UTC):%Y-%m-%d}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}: {len(ROWS)} "
        f"rows against the library's own answers, then {CALLS} requests of one row, one after "
        "another; memory of the worker is its proportional share.\n"
    )
    print("| format | largest difference | apply to ready, s | p50, ms | worker, MiB |")
    print("|---|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
