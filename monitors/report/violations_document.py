"""constraint_violations.json: what was found, as SageMaker's tools and own containers write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from driftline.errors import InputError, NotFoundError
from driftline.formats.json.jackson import JsonDocument, read_json
from driftline.formats.location import locate

# SageMaker's jobs write the first; its page on own containers, and many of those, the second.
FILE_NAMES = ("constraint_violations.json", "constraints_violations.json")


class ViolationsDocument(JsonDocument):
    """A violations document, readable like a dict; written in the analyzer's layout.

    Own containers have checks and keys of their own in it: nothing is taken away, and no check is
    refused because it is not known.

    Parameters
    ----------
    document
        As in the file.

    Raises
    ------
    InputError
        When it has no list of violations, each an object.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        found = document.get("violations")
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            raise InputError('violations: expected an object with a list "violations" of objects')
        super().__init__(document)

    @property
    def entries(self) -> Sequence[Mapping[str, Any]]:
        """What is violated, in the document's order."""
        return tuple(self._document["violations"])

    @classmethod
    def from_json(cls, text: str | bytes) -> ViolationsDocument:
        """Read JSON text, in whatever layout; errors as of the class."""
        found = read_json(text, "violations")
        if not isinstance(found, dict):
            raise InputError('violations: expected an object with a list "violations"')
        return cls(found)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> ViolationsDocument:
        """Read the document of a folder or URI, under either of its two names.

        Raises
        ------
        NotFoundError
            When there is none: Clarify's jobs write none where nothing is violated.
        InputError
            When it is no such document.
        """
        place = locate(folder)
        for name in FILE_NAMES:
            try:
                data = (place / name).read()
            except NotFoundError:
                continue
            try:
                return cls.from_json(data)
            except InputError as error:
                raise InputError(f"{place.shown}/{name}: {error}") from error
        raise NotFoundError(f"{place.shown}: no {FILE_NAMES[0]} in it; expected a result folder")
