"""Rules of the repository that no linter knows."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import driftline

ROOT = Path(__file__).parents[2]
PACKAGES = ("capture", "baseline", "monitors", "alerts", "dashboard", "serving")
SOURCES = sorted(
    file
    for folder in (*PACKAGES, "driftline")
    for file in (ROOT / folder).rglob("*.py")
    if "versions" not in file.parts and not any(part.is_symlink() for part in file.parents)
)


def test_the_six_folders_are_packages_of_driftline() -> None:
    for package in PACKAGES:
        assert (ROOT / "driftline" / package).resolve() == ROOT / package


def test_the_face_hands_on_exactly_what_it_names() -> None:
    for name in driftline.__all__:
        assert getattr(driftline, name) is not None
    with pytest.raises(AttributeError):
        driftline.nothing  # noqa: B018


def _modules_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and give the top names of all modules then loaded."""
    shown = f"{code}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    found = subprocess.run(
        [sys.executable, "-I", "-c", shown], capture_output=True, text=True, check=True
    )
    return set(found.stdout.split())


def test_importing_the_face_pulls_in_nothing_heavy() -> None:
    heavy = {"pandas", "pyarrow", "numpy", "sqlalchemy", "httpx", "pydantic"}

    assert _modules_after("import driftline") & heavy == set()


def test_the_tap_pulls_in_the_standard_library_only() -> None:
    before = _modules_after("pass")

    added = _modules_after("import driftline; driftline.Capture") - before

    assert added - sys.stdlib_module_names - {"driftline"} == set()


def test_every_page_that_the_source_cites_exists() -> None:
    cited = re.compile(r"(?<![\w/.-])(?:(?:docs|bench|reference)/[\w/-]+|[a-z]+(?:-[a-z]+)+)\.md")

    missing = [
        f"{file.relative_to(ROOT)}: {page}"
        for file in SOURCES
        for page in cited.findall(file.read_text())
        if not (ROOT / page).is_file()
    ]

    assert missing == []


def test_every_name_that_a_benchmark_imports_is_there() -> None:
    wanted = {
        (node.module or "", one.name)
        for file in (ROOT / "bench").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("driftline", "tests"))
        for one in node.names
    }

    missing = [(module, name) for module, name in sorted(wanted) if not _has(module, name)]

    assert wanted
    assert missing == []


def _has(module: str, name: str) -> bool:
    """Whether a module defines a name or is the package of it; read, as imports cost seconds."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return False
    if spec.submodule_search_locations and find_spec(f"{module}.{name}"):
        return True
    tree = ast.parse(Path(spec.origin).read_text())
    return any(name in _names_of(node) for node in tree.body)


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    named = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
    return [*named, *(one.name for one in ast.walk(node) if isinstance(one, ast.alias))]


def test_nothing_committed_names_a_registry_or_a_home() -> None:
    # Put together here, so that this file may be looked at, too.
    parts = (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs"), ("repo1", "maven"))
    homes = (f"/{folder}/" for folder in ("home", "root"))
    hosts = re.compile("|".join([*(r"\.".join(host) for host in parts), *homes]))
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\n") if name]

    found = [
        str(file)
        for file in files
        if file.is_file() and hosts.search(file.read_text(encoding="utf-8", errors="ignore"))
    ]

    assert found == []
