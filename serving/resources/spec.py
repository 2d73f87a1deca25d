"""What the specs of all kinds of resources share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from driftline.capture.tap.target import is_name
from driftline.validation import nearest, shown


def _in_utc(time: datetime) -> datetime:
    try:
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a time within the years 1 to 9999 in UTC") from error


# A time without a zone is one in UTC.
Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Spec(BaseModel):
    """What all specs share: no unknown keys, no change after they were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _require_known_keys(cls, given: object) -> object:
        """Refuse an unknown key with the known one that is most like it."""
        for key in given if isinstance(given, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(f"unknown key {shown(key)}; {nearest(str(key), cls.model_fields)}")
        return given


def _checked_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"{shown(name)}; expected letters, digits and inner hyphens, 63 at most")
    return name


Name = Annotated[str, AfterValidator(_checked_name)]


def require_distinct(field: str, names: Iterable[str]) -> None:
    """Refuse names that differ by case alone, or not at all."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ValueError(
                f'{field} "{name}" stands twice; expected names that differ by more than case'
            )
        seen.add(name.casefold())


def field_of(given: object, name: str) -> Any:  # noqa: ANN401 - whatever the document has there
    """Return a field of a document or of a spec; None where it has none."""
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
