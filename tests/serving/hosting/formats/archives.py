"""Files of models as SageMaker and libraries have them, for tests."""

import io
import tarfile
import zipfile
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import skops.io


def pack(archive: Path, members: dict[str, bytes | str | tarfile.TarInfo]) -> Path:
    """Write a tar.gz of files by their content, and of members that are no files."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive


def coded(archive: Path, answer: str, load: str = "pass") -> Path:
    """Write a model of code: what is done with model, body, content_type and accept, and before."""
    functions = {"model_fn(model_dir)": f"{load}\nreturn model_dir",
                 "transform_fn(model, body, content_type, accept)": answer}  # fmt: skip
    code = "".join(
        f"def {head}:\n{indent(dedent(lines).strip(), '    ')}\n"
        for head, lines in functions.items()
    )
    return pack(archive, {"code/inference.py": code})


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a link, device or folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def parts_of(model: Any) -> dict[str, bytes]:
    """Return the members of a model's skops file."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack_zip(file: Path, parts: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    """Write a skops file of such members."""
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file


def save(model: Any, folder: Path, name: str = "") -> Path:
    """Save a model in the format of its library."""
    match type(model).__module__.partition(".")[0]:
        case "xgboost":
            model.save_model(file := folder / (name or "m.ubj"))
        case "lightgbm":
            model.booster_.save_model(file := folder / "m.txt")
        case _:
            skops.io.dump(model, file := folder / "m.skops")
    return file
