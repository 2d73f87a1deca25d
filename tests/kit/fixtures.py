"""Fixtures of the kit, for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.kit.installation import Installation
from tests.kit.receiver import Receiver

__all__ = ["install", "installation", "receiver"]


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Installation]]:
    """Start installations with settings; they end with the tests of the file."""
    with ExitStack() as running:

        def start(settings: str = "", **given: Any) -> Installation:
            folder = tmp_path_factory.mktemp("installation")
            return running.enter_context(Installation(folder, settings, **given))

        yield start


@pytest.fixture(scope="module")
def installation(install: Callable[..., Installation]) -> Installation:
    """One installation for all tests of the file, forked, with the settings of the kit."""
    return install(is_forked=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of notifications of its own for each test."""
    with Receiver() as running:
        yield running
