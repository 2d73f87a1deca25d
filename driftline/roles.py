"""What the columns of a data set are for, as its owner says: one value for every layer.

The command line and the public functions spell the roles out; everything below hands one ``Roles``
on. What the data must decide (kind of problem, positive class, meaning of a facet) is fixed once,
when a baseline is made, and stored with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from driftline.classes import class_text
from driftline.errors import InputError

# Above which probability an answer without prediction is positive, where nobody says otherwise.
THRESHOLD = 0.5

Problem = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, slots=True)
class Facet:
    """A column by whose values groups of people, or of anything, are compared.

    Parameters
    ----------
    column
        Name of the column.
    values
        The group that is looked at; all other rows are the other group. Without values each value
        is compared with the rest.
    threshold
        For a column of numbers: the group is the rows above it, strictly.

    References
    ----------
    SageMaker Clarify's ``facet``: ``name_or_index`` and ``value_or_threshold``; listed values are
    the group that may be at a disadvantage (d).
    """

    column: str
    values: tuple[str, ...] = ()
    threshold: float | None = None

    @classmethod
    def parse(cls, text: str) -> Facet:
        """Read ``sex``, ``sex=Female`` or ``country=UK,FR``; a threshold is known from the data."""
        column, sign, values = text.partition("=")
        listed = tuple(value.strip() for value in values.split(",") if value.strip())
        if not column.strip() or (sign and not listed):
            raise InputError(f'facet "{text}"; expected COLUMN or COLUMN=VALUE, such as sex=Female')
        return cls(column.strip(), listed)

    def __str__(self) -> str:
        """Write the facet as `parse` reads it."""
        values = self.values if self.threshold is None else (f"{self.threshold:g}",)
        return f"{self.column}={','.join(values)}" if values else self.column

    @property
    def shown(self) -> str:
        """The group in words: ``Female``, ``UK, FR``, ``above 40``."""
        return f"above {self.threshold:g}" if self.threshold is not None else ", ".join(self.values)


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns by role.

    Parameters
    ----------
    label, prediction, probability
        The true answer, the model's answer, its probability: one column, or one for each class.
    id_column, timestamp, exclude
        What identifies, when it happened, what is left out of all checks.
    problem
        What the model answers; None: as the data says.
    positive, also_positive
        The class that counts as positive; None: as words and scores tell, else it is asked for.
        Label and prediction may write it differently (1 and "approve"): further values of it.
    threshold
        With a probability and no prediction: positive above it, strictly. None: 0.5, or what the
        baseline was made with.
    categorical
        Columns whose values are codes, whatever their type: judged by level, not as quantities.
    facets, group
        Columns by which groups are compared; ``group`` is the one that CDDL and CDDPL stratify by.
    """

    label: str | None = None
    prediction: str | None = None
    probability: tuple[str, ...] = ()
    id_column: str | None = None
    timestamp: str | None = None
    exclude: tuple[str, ...] = ()
    problem: Problem | None = None
    positive: str | None = None
    also_positive: tuple[str, ...] = ()
    threshold: float | None = None
    facets: tuple[Facet, ...] = ()
    group: str | None = None
    categorical: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.problem is not None and self.problem not in get_args(Problem):
            raise InputError(f'problem "{self.problem}"; expected {", ".join(get_args(Problem))}')
        if not 0 <= self.positive_above <= 1:
            raise InputError(f"threshold {self.threshold}; expected 0 to 1")

    @property
    def positive_above(self) -> float:
        """The threshold that holds, written or not."""
        return THRESHOLD if self.threshold is None else self.threshold

    @classmethod
    def of(
        cls,
        *,
        probability: str | Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        categorical: Iterable[str] | None = None,
        positive: object = None,
        facet: str | Facet | Iterable[str | Facet] | None = None,
        **named: Any,  # noqa: ANN401 - the other fields, as they are
    ) -> Roles:
        """Make roles from what people write: one text or several, any values as positive class.

        ``id`` is ``id_column`` as the command line and resource files spell it.
        """
        for name in named:
            if name not in (*_OTHERS, "id"):
                raise InputError(f'"{name}": no such role; expected one of {", ".join(_SPELLED)}')
        short, long = named.pop("id", None), named.get("id_column")
        if None not in (short, long) and short != long:
            raise InputError(f'id "{short}" and id_column "{long}"; expected one of the two')
        named["id_column"] = long if short is None else short
        facets = [facet] if isinstance(facet, str | Facet) else list(facet or ())
        several = positive if isinstance(positive, list | tuple) else [positive]
        positives = dict.fromkeys(class_text(value) for value in several if value is not None)
        return cls(
            probability=(probability,)
            if isinstance(probability, str)
            else tuple(probability or ()),
            exclude=(exclude,) if isinstance(exclude, str) else tuple(exclude or ()),
            categorical=(categorical,)
            if isinstance(categorical, str)
            else tuple(categorical or ()),
            positive=next(iter(positives), None),
            also_positive=tuple(positives)[1:],
            facets=tuple(one if isinstance(one, Facet) else Facet.parse(one) for one in facets),
            **{name: value for name, value in named.items() if value is not None},
        )

    @property
    def has_predictions(self) -> bool:
        """Whether a column holds what a model returned."""
        return self.prediction is not None or bool(self.probability)

    @property
    def positives(self) -> tuple[str, ...]:
        """Every value that means the positive class; none when it is open."""
        return () if self.positive is None else (self.positive, *self.also_positive)

    def over(self, other: Roles) -> Roles:
        """Return these roles, with what they leave open taken from another."""
        empty = Roles()
        taken = {
            one.name: getattr(other, one.name)
            for one in fields(self)
            if getattr(self, one.name) == getattr(empty, one.name)
        }
        if self.positive is not None:
            taken.pop("also_positive", None)  # They are the other's names for another class.
        return replace(self, **taken)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = asdict(self)
        # Left out when empty, so that a baseline keeps the bytes that older versions wrote.
        return {name: value for name, value in found.items() if value or name not in _ADDED}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Roles:
        """Read what to_dict gave."""
        facets = tuple(
            Facet(one["column"], tuple(one["values"]), one["threshold"]) for one in found["facets"]
        )
        return cls(
            **{
                **found,
                "facets": facets,
                "probability": tuple(found["probability"]),
                "exclude": tuple(found["exclude"]),
                **{name: tuple(found[name]) for name in _ADDED if name in found},
            }
        )


# Fields that the first format did not have.
_ADDED = ("also_positive", "categorical")
# As `Roles.of` takes them, those that it turns into something else last.
_MADE = ("probability", "exclude", "categorical", "positive", "also_positive", "facets")
_OTHERS = tuple(one.name for one in fields(Roles) if one.name not in _MADE)
_SPELLED = (*_OTHERS, "probability", "exclude", "categorical", "positive", "facet")
