"""The wheel that a user would install, and an environment that holds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "install_alone", "wheel"]

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
SDIST = "import setuptools.build_meta as build, sys; build.build_sdist(sys.argv[1])"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and of that the wheel; return the wheel's file."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, links and all: a build writes beside its sources.
    shutil.copytree(ROOT / "driftline", source / "driftline", symlinks=True)
    for link in (ROOT / "driftline").iterdir():
        if link.is_symlink():
            shutil.copytree(ROOT / link.name, source / link.name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", SDIST, folder], cwd=source, check=True)
    (packed,) = folder.glob("*.tar.gz")
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*PIP, "wheel", *offline, "-w", folder, packed], check=True)
    (found,) = folder.glob("*.whl")
    return found


def install_alone(wheel: Path, environment: Path) -> Path:
    """Install the wheel, and nothing else, into a new environment; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    # What a test imports is compiled then; the whole took two thirds of the installation.
    into = [*PIP, "--python", python, "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*into, wheel], check=True)
    return python
