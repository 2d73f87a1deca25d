"""The signature of an endpoint or a baseline: columns, types and roles, made once and stored."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from driftline.errors import InputError
from driftline.validation import told

if TYPE_CHECKING:
    from pydantic import TypeAdapter

ColumnType = Literal["int64", "double", "string", "bool", "timestamp"]
Role = Literal[
    "feature", "label", "prediction", "probability", "quantile", "id", "timestamp", "excluded",
    "weight",
]  # fmt: skip

# What a window's distribution is compared for; a label comes late, the others say what a row is.
JUDGED_ROLES: tuple[Role, ...] = ("feature", "prediction", "probability", "quantile")
# What a model answers.
OUTPUT_ROLES: tuple[Role, ...] = ("prediction", "probability", "quantile")

TimeUnit = Literal["s", "ms", "ns"]
Missing = Literal["nan"]

SIGNATURE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name as the user knows it, and where it lies in the capture table."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str  # As in the reference data, any text.
    # In the capture table: ``feature_<slug>``, ``prediction``, ``probability[_<slug>]``, …
    column: str
    type: ColumnType  # What does not fit it is kept as text and counted.
    role: Role = "feature"  # Only features are inputs of the model.
    # The values that a text column took in the reference, when there are few.
    levels: tuple[str, ...] | None = None
    # For a prediction or probability: the class labels, as text, in the model's order.
    classes: tuple[str, ...] | None = None
    # Where earlier versions stored it as another type in the capture table, newest first.
    former: tuple[str, ...] = ()
    # Its name where it is captured, if a reader has another (`Signature.read_by`).
    captured_as: str | None = None
    # In the data and for the model, where it was declared categorical and is judged as text.
    data_type: ColumnType | None = None
    # Why the values are not judged, where the column is neither id, time nor excluded.
    unjudged: str | None = None
    unit: TimeUnit | None = None  # Of a feature's times in the data; None: microseconds.
    missing: Missing | None = None  # What stands for a feature's missing truth values; None: None.

    @property
    def sent_type(self) -> ColumnType:
        """The type of the values in the data and for the model."""
        return self.data_type or self.type

    @property
    def captured_name(self) -> str:
        """The name under which values that do not fit are kept in the capture table."""
        return self.captured_as or self.name

    def as_dict(self) -> dict[str, Any]:
        """Return the column as JSON takes it, without what is unset."""
        found = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {
            name: value
            for name, (value, default) in found.items()
            if name == "role" or value != default
        }

    def as_sent(self) -> Column:
        """Return the column with the type that its values have in the data and for the model."""
        return replace(self, type=self.sent_type, data_type=None)


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes into and comes out of an endpoint, or what columns a baseline describes."""

    features: tuple[Column, ...]  # In their order; those of role ``feature`` are inputs.
    outputs: tuple[Column, ...] = ()  # In the order in which the model answers them.
    event_time: str | None = None
    inference_id: str | None = None
    version: int = 1  # Counts up when a type or a name changes.

    def __post_init__(self) -> None:
        for what in ("name", "column"):
            keys = [getattr(column, what) for column in self.columns]
            keys = [key.casefold() for key in keys] if what == "column" else keys
            if len({*keys}) < len(keys):
                raise InputError(f"signature: a {what} stands twice; expected each once")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Features, then outputs."""
        return self.features + self.outputs

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns that a request carries, in order."""
        return tuple(column for column in self.features if column.role == "feature")

    @property
    def answers(self) -> tuple[Column, ...]:
        """The columns of an answer, in order: the outputs, or else what labels predict."""
        return self.outputs or tuple(one for one in self.features if one.role == "label")[:1]

    def get(self, name: str) -> Column | None:
        """Find a column by the user's name for it."""
        return next((column for column in self.columns if column.name == name), None)

    def as_sent(self) -> Signature:
        """Return the signature with the types that values have in the data and for the model."""
        return replace(self, features=tuple(column.as_sent() for column in self.features))

    def read_by(self, reference: Signature) -> Signature:
        """Return the signature with its outputs named as a reference names them.

        An output is the reference's of its name, or else the only other one of its role. A single
        prediction and a single probability are one value. What the reference does not know gets
        another name where the reference has a column of that name, such as the label.
        """
        known = {one.name for one in reference.outputs}
        left = [one for one in reference.outputs if self.get(one.name) not in self.outputs]
        own = [one for one in self.outputs if one.name not in known]
        is_alone = {len(self.outputs), len(reference.outputs)} == {1}
        taken = {one.name for one in (*reference.columns, *self.columns)}

        def named(output: Column) -> Column:
            if output not in own:
                return output
            alike = [one for one in left if one.role == output.role]
            if len(alike) == 1 == [one.role for one in own].count(output.role):
                return replace(output, name=alike[0].name, captured_as=output.captured_name)
            if is_alone and {left[0].role, output.role} == {"prediction", "probability"}:
                return replace(
                    left[0], column=f"{output.column}_as_{left[0].role}",
                    former=(output.column, *output.former), captured_as=output.captured_name,
                )  # fmt: skip
            if reference.get(output.name) is None:
                return output
            name = free_name(output.role, taken)
            return replace(output, name=name, captured_as=output.captured_name)

        outputs = tuple(map(named, self.outputs))
        names = {one.name for one in outputs}
        # An endpoint's own label is no input, and may have the name of a reader's prediction.
        features = tuple(
            one for one in self.features if one.role == "feature" or one.name not in names
        )
        return replace(self, features=features, outputs=outputs)

    def as_captured(self) -> Signature:
        """Return the signature by which requests and answers of an app are read.

        With a label and no output, the answer is assumed to be of the label's type and named
        ``prediction``: what is not recorded today cannot be compared with the label tomorrow.
        """
        sent = self.as_sent()
        name = free_name("prediction", {column.name for column in self.columns})
        outputs = tuple(
            Column(name, "prediction", one.type, "prediction", classes=one.classes)
            if one.role == "label"
            else one
            for one in sent.answers
        )
        # Columns that are no inputs stay, for their names: apps are sent an order's id and answer
        # {"late": true} for what they predict of "late". The rows' weight comes with their inputs.
        features = tuple(
            replace(one, role="feature") if one.role == "weight" else one for one in sent.features
        )
        return replace(sent, features=features, outputs=outputs)

    @property
    def digest(self) -> str:
        """Hash of what decides how bodies are read; equal signatures read equal rows."""
        columns = [[one.name, one.column, one.type, one.role, one.classes] for one in self.columns]
        text = json.dumps([columns, len(self.features), self.inference_id])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """Write the signature as JSON text, stable for equal signatures."""
        found: dict[str, Any] = {
            "format": SIGNATURE_FORMAT,
            "version": self.version,
            "features": [column.as_dict() for column in self.features],
            "outputs": [column.as_dict() for column in self.outputs],
        }
        for name in ("event_time", "inference_id"):
            if (value := getattr(self, name)) not in (None, ()):
                found[name] = value
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Signature:
        """Read what to_json wrote; what has other columns, types or roles is an InputError."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise InputError(f"signature: not JSON ({error})") from error
        if not isinstance(found, dict):
            raise InputError('signature: expected an object with a list "features"')
        if (version := found.pop("format", SIGNATURE_FORMAT)) != SIGNATURE_FORMAT:
            raise InputError(
                f"signature: format {version!r}; this driftline reads {SIGNATURE_FORMAT}"
            )
        # Here, not above: whoever makes signatures and reads none needs no pydantic.
        from pydantic import ValidationError

        try:
            return _reader().validate_python(found)
        except ValidationError as error:
            raise InputError(told(error.errors()[0], "signature")) from error


@cache
def _reader() -> TypeAdapter[Signature]:
    from pydantic import TypeAdapter

    return TypeAdapter(Signature)


def slug(name: str) -> str:
    """Turn any text into letters, digits and underscores, lower case, never empty."""
    return re.sub(r"[^0-9a-z]+", "_", name.casefold()).strip("_") or "x"


def column_names(names: Iterable[str], *, prefix: str = "feature") -> list[str]:
    """Return the capture-table column of each name; collisions get a suffix ``_2``, ``_3``."""
    taken: set[str] = set()
    return [free_name(f"{prefix}_{slug(name)}", taken) for name in names]


def free_name(name: str, taken: set[str]) -> str:
    """Return the name with the first suffix, if any, that is not taken; it is taken then."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


def names_among(names: Iterable[str], columns: Iterable[str]) -> tuple[str, ...]:
    """Return a model's names of columns as the columns have them.

    LightGBM writes "_" for each blank in a name. An unknown name stands for the only column that it
    may have been and that no other name is; else it stays.
    """
    names, known = tuple(names), set(columns)
    written: dict[str, list[str]] = {}
    for column in known.difference(names):
        written.setdefault(column.replace(" ", "_"), []).append(column)
    written = {name: found for name, found in written.items() if name not in known}
    return tuple(found[0] if len(found := written.get(name, [])) == 1 else name for name in names)
