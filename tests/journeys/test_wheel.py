"""The wheel in an environment and a folder of its own: nothing of the checkout is needed."""

import os
import re
import signal
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.servers.ports import free_port
from tests.servers.wheel import ROOT, install_alone


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command; other packages come from the environment of the tests."""
    environment = tmp_path_factory.mktemp("installed") / "environment"
    python = install_alone(wheel, environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Only a path: what makes the checkout importable in that environment is not followed.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.with_name("driftline")


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    folders = [ROOT / "driftline", *(one for one in (ROOT / "driftline").iterdir() if one.is_dir())]
    there = {
        (Path("driftline") / file.relative_to(ROOT / "driftline")).as_posix()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    with zipfile.ZipFile(wheel) as packed:
        inside = {name for name in packed.namelist() if ".dist-info/" not in name}

    assert inside == there
    assert "driftline/dashboard/assets/style.css" in inside


def test_the_installed_program_runs_from_an_empty_folder(program: Path, tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("server", "dashboard", "background")}
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "DRIFTLINE_SERVER__PORT": str(ports["server"]),
        "DRIFTLINE_DASHBOARD__PORT": str(ports["dashboard"]),
        "DRIFTLINE_METRICS__PORT": str(ports["background"] - 2),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    assert run("version").stdout.startswith("driftline ")
    up = subprocess.Popen(
        [program, "up"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert up.stderr is not None
        assert any("ready; Ctrl-C" in line for line in up.stderr)
        page = httpx.get(f"http://127.0.0.1:{ports['dashboard']}/")
        assets = re.findall(r'(?:src|href)="(/[^"]*assets/[^"]+)"', page.text)
        found = [httpx.get(f"http://127.0.0.1:{ports['dashboard']}{path}") for path in assets]
        doctor = run("doctor")
    finally:
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=60)

    assert len(assets) >= 4
    assert {one.status_code for one in found} == {200}
    assert doctor.returncode == 0, doctor.stdout
    assert "driftline.db, schema" in doctor.stdout
    assert up.returncode == 0
