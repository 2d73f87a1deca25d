"""Ids of requests: of the form of a UUID, and never the same, also not after a fork."""

from __future__ import annotations

import os
import uuid

from driftline.capture.tap.target import new_id


def test_ids_are_uuids_of_version_four_and_differ() -> None:
    ids = [new_id() for _ in range(1_000)]

    assert len(set(ids)) == 1_000
    assert {str(uuid.UUID(text)) for text in ids} == set(ids)
    assert {uuid.UUID(text).version for text in ids} == {4}


def test_parent_and_forked_child_give_different_ids() -> None:
    new_id()  # Some are made ahead now.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(new_id() for _ in range(40)).encode())
        os._exit(0)
    os.close(writing)
    ours = {new_id() for _ in range(40)}
    with os.fdopen(reading) as pipe:
        theirs = set(pipe.read().split())
    os.waitpid(child, 0)

    assert len(theirs) == 40
    assert not ours & theirs
