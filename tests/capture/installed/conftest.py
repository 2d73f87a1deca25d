"""One installation for all files of this folder: their endpoints have names of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.installation import Installation


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Start it once, with the settings of the kit."""
    with Installation(tmp_path_factory.mktemp("installation"), is_forked=True) as running:
        yield running
