"""Endpoints as the sink asks for them."""

import pytest
from sqlalchemy import create_engine

from driftline.errors import UnavailableError
from driftline.serving.resources.endpoints import signature_of


def test_a_database_that_is_away_is_told_as_such_so_that_the_sink_waits(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'no-folder' / 'driftline.db'}")

    with pytest.raises(UnavailableError, match='endpoint "flights": the database does not answer'):
        signature_of(engine, "flights")
