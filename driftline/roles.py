"""What the columns of a data set are for, as its owner says: one value for every layer."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, get_args

from driftline.classes import class_text
from driftline.errors import InputError

# Above which probability an answer without prediction is positive, where nobody says otherwise.
THRESHOLD = 0.5

Problem = Literal["binary", "multiclass", "regression"]

# What joins facets of which a row is at once, where it is not in quotation marks.
JOINT = " & "
JOINTS = re.compile(r'\s+&(?:\s+|$)(?=(?:[^"]*"[^"]*")*[^"]*$)')
# A name in quotation marks, where two of them mean one, or up to what compares it.
NAMED = re.compile(r'\s*("(?:[^"]|"")*"|[^"=<>][^=<>]*?)\s*(?:(<|>=?|=)(.*))?', re.DOTALL)
LISTED = re.compile(r'\s*("(?:[^"]|"")*"|[\[(][^\])]*[\])]|[^,]*)\s*(?:,|$)')
INTERVAL = re.compile(r"\[\s*(\S+?)\s*,\s*(\S+?)\s*\)")


@dataclass(frozen=True, slots=True)
class Facet:
    """A column by whose values groups are compared; SageMaker Clarify's ``facet``."""

    column: str
    # The group that is looked at; all other rows are the other one. None: each value against the
    # rest.
    values: tuple[str, ...] = ()
    threshold: float | None = None  # The group is the rows above it, strictly.
    # Each holds a group, its lower end included, its upper end not.
    intervals: tuple[tuple[float, float], ...] = ()
    # The groups are the rows of a group of each, such as women above 40.
    also: tuple[Facet, ...] = ()

    def __post_init__(self) -> None:
        ends = sorted(self.intervals)
        is_empty = any(not low < high for low, high in ends)
        if is_empty or any(after < high for (_, high), (after, _) in itertools.pairwise(ends)):
            raise InputError(
                f'facet "{self}": expected intervals with the lower end first that do not overlap; '
                "name others in a facet of their own"
            )

    @classmethod
    def parse(cls, text: str) -> Facet:
        """Read ``sex``, ``sex=Female``, ``country=UK,FR``, ``age=[18,30),[30,50)`` or ``age<30``.

        And several of them, of which a row is at once: ``sex=F & age<30``. What stands in
        quotation marks is taken as it is. A threshold is known from the data.
        """
        first, *also = (cls._parse_one(part, text) for part in JOINTS.split(text.strip()))
        columns = [part.column for part in (first, *also)]
        if len({*columns}) < len(columns):
            raise InputError(f'facet "{text}": a column stands twice; expected each once')
        return replace(first, also=tuple(also))

    @classmethod
    def _parse_one(cls, part: str, text: str) -> Facet:
        named = NAMED.fullmatch(part)
        column, sign, rest = named.groups("") if named else ("", "", "")
        listed = tuple(found.strip() for found in LISTED.findall(rest) if found.strip())
        if sign in ("<", ">", ">=") and _is_number(rest):
            number = float(rest)
            if sign == ">":
                return cls(_unquoted(column), threshold=number)
            ends = (-math.inf, number) if sign == "<" else (number, math.inf)
            return cls(_unquoted(column), intervals=(ends,))
        if sign not in ("=", "") or not column or (sign and not listed):
            raise InputError(
                f'facet "{text}"; expected COLUMN or COLUMN=VALUE, such as sex=Female, joined by '
                '" & " for rows of several groups at once'
            )
        found = cls.of(_unquoted(column), listed)
        return replace(found, values=tuple(_unquoted(value) for value in found.values))

    @classmethod
    def of(cls, column: str, listed: Sequence[str]) -> Facet:
        """Make a facet of one column, of values or of intervals such as ``[18,30)``."""
        distinct = tuple(dict.fromkeys(listed))
        ends = [found.groups() for value in distinct if (found := INTERVAL.fullmatch(value))]
        if ends and len(ends) == len(distinct) and _is_number(*itertools.chain(*ends)):
            return cls(column, intervals=tuple((float(low), float(high)) for low, high in ends))
        return cls(column, distinct)

    def __str__(self) -> str:
        """Write the facet as `parse` reads it."""
        return JOINT.join(map(_written, self.parts))

    @property
    def parts(self) -> tuple[Facet, ...]:
        """The facets of one column each, of which its rows are at once."""
        return (replace(self, also=()) if self.also else self, *self.also)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return tuple(part.column for part in self.parts)

    @property
    def name(self) -> str:
        """Its name in documents: its column, or ``sex & age``."""
        return JOINT.join(self.columns)

    @property
    def counted(self) -> Facet:
        """The facet as its rows are counted, which other groups of it share."""
        return replace(self, values=(), also=tuple(part.counted for part in self.also))


def _written(facet: Facet) -> str:
    column = _quoted(facet.column, '"=<>')
    if facet.threshold is not None:
        return f"{column}>{class_text(facet.threshold)}"
    values = [_quoted(value) for value in facet.values]
    values += [interval_text(*ends) for ends in facet.intervals]
    return f"{column}={','.join(values)}" if values else column


def interval_text(low: float, high: float) -> str:
    """Write an interval as documents do: ``[18, 30)``, ``[-inf, 18)``."""
    return f"[{class_text(low)}, {class_text(high)})"


def _is_number(*texts: str) -> bool:
    try:
        return not any(math.isnan(float(text)) for text in texts)
    except ValueError:
        return False


def _quoted(text: str, special: str = '",') -> str:
    """Put a name or value that would be read as something else into quotation marks."""
    is_plain = text == text.strip() and text[:1] not in ("", "[", "(") and not JOINTS.search(text)
    if is_plain and not any(sign in text for sign in special):
        return text
    return '"' + text.replace('"', '""') + '"'


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"') if is_quoted else text


class UntimedRoleArguments(TypedDict, total=False):
    """The roles as public functions take them by name, but for the timestamp; see `Roles.of`."""

    label: str | None
    prediction: str | None
    probability: str | Sequence[str] | None
    id: str | None
    id_column: str | None
    exclude: Iterable[str]
    categorical: Iterable[str]
    problem: Problem | None
    positive: object
    threshold: float | None
    facet: str | Facet | Mapping[str, Any] | Iterable[str | Facet]
    group: str | None
    weight: str | None
    quantiles: Mapping[float, str] | None


class RoleArguments(UntimedRoleArguments, total=False):
    """The roles as public functions take them by name."""

    timestamp: str | None


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns by role."""

    label: str | None = None
    prediction: str | None = None
    # One column, one for each class, or a column of lists of all classes' in their order.
    probability: tuple[str, ...] = ()
    id_column: str | None = None
    timestamp: str | None = None
    exclude: tuple[str, ...] = ()  # Left out of all checks.
    problem: Problem | None = None  # None: as the data says.
    # The class that counts as positive; None: 1 beside 0, else it is asked for. Label and
    # prediction may write it differently (1 and "approve"): further values of it.
    positive: str | None = None
    also_positive: tuple[str, ...] = ()
    # With a probability and no prediction: positive above it, strictly. None: 0.5, or what the
    # baseline was made with.
    threshold: float | None = None
    facets: tuple[Facet, ...] = ()
    group: str | None = None  # What CDDL and CDDPL stratify by.
    categorical: tuple[str, ...] = ()  # Judged by level, not as quantities, whatever their type.
    weight: str | None = None  # How much each row counts in metrics of model quality.
    # Columns of forecast quantiles by their level, rising: ``((0.1, "p10"), (0.9, "p90"))``. One
    # of them may be the prediction.
    quantiles: tuple[tuple[float, str], ...] = ()
    # Of bias, by name or by stage (``pre_training_bias``), as Clarify's configuration asks for
    # them; empty: all.
    bias_metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.problem is not None and self.problem not in get_args(Problem):
            raise InputError(f'problem "{self.problem}"; expected {", ".join(get_args(Problem))}')
        for role in ("label", "prediction", "id_column", "timestamp", "group", "weight"):
            if not isinstance(name := getattr(self, role), str | None):
                raise InputError(f"{role} {name!r}; expected the name of a column, a text")
        if not 0 <= self.positive_above <= 1:
            raise InputError(f"threshold {self.threshold}; expected 0 to 1")
        if self.quantiles:
            _require_quantiles(self)

    @property
    def positive_above(self) -> float:
        """The threshold that holds, written or not."""
        return THRESHOLD if self.threshold is None else self.threshold

    @classmethod
    def of(
        cls,
        *,
        positive: object = None,
        facet: str | Facet | Mapping[str, Any] | Iterable[str | Facet] | None = None,
        quantiles: Mapping[Any, str] | str | Iterable[str] | None = None,
        **named: Any,  # noqa: ANN401 - the other fields, as they are
    ) -> Roles:
        """Make roles from what people write; ``id`` is ``id_column`` as they spell it."""
        named["id_column"] = named.pop("id", None) or named.get("id_column")
        known = [one.name for one in fields(cls)]
        if unknown := named.keys() - {*known}:
            raise InputError(f'"{min(unknown)}": no such role; expected one of {", ".join(known)}')
        for name in ("probability", "exclude", "categorical"):
            named[name] = _names(name, named.get(name))
        if isinstance(facet, Mapping):
            facet = [_facet_of(column, listed) for column, listed in facet.items()]
        facets = [facet] if isinstance(facet, str | Facet) else list(facet or ())
        several = positive if isinstance(positive, list | tuple) else [positive]
        positives = dict.fromkeys(class_text(value) for value in several if value is not None)
        return cls(
            positive=next(iter(positives), None),
            also_positive=tuple(positives)[1:],
            facets=tuple(one if isinstance(one, Facet) else Facet.parse(one) for one in facets),
            quantiles=_read_quantiles(quantiles),
            **{name: value for name, value in named.items() if value is not None},
        )

    @property
    def has_predictions(self) -> bool:
        """Whether a column holds what a model returned."""
        return self.prediction is not None or bool(self.probability)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the quantiles, rising."""
        return tuple(level for level, _ in self.quantiles)

    @property
    def quantile_columns(self) -> tuple[str, ...]:
        """The columns of the quantiles, in the order of their levels."""
        return tuple(column for _, column in self.quantiles)

    @property
    def with_point(self) -> Roles:
        """The roles; of quantiles the median is the prediction where none is named."""
        if not self.quantiles:
            return self
        median = dict(self.quantiles).get(0.5)
        return replace(self, prediction=self.prediction or median, problem="regression")

    @property
    def positives(self) -> tuple[str, ...]:
        """Every value that means the positive class; none when it is open."""
        return () if self.positive is None else (self.positive, *self.also_positive)

    @property
    def facet_columns(self) -> tuple[str, ...]:
        """The columns of all facets, each once."""
        return tuple(dict.fromkeys(name for facet in self.facets for name in facet.columns))

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
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return found | {"facets": [str(one) for one in self.facets]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Roles:
        """Read what to_dict gave."""
        plain: dict[str, Any] = {
            name: tuple(one) if isinstance(one, list) else one for name, one in found.items()
        }
        quantiles = tuple((level, name) for level, name in found["quantiles"])
        facets = tuple(Facet.parse(one) for one in found["facets"])
        return cls(**plain | {"facets": facets, "quantiles": quantiles})


def _names(role: str, given: Any) -> tuple[str, ...]:  # noqa: ANN401 - a text, texts or nothing
    if isinstance(given, Mapping):
        raise InputError(f"{role} {dict(given)}; expected names of columns")
    return (given,) if isinstance(given, str) else tuple(given or ())


def _facet_of(column: str, listed: object) -> Facet:
    """Make a facet of ``{"sex": ["Female"]}``; None or an empty list names no value."""
    values = [] if listed is None else listed if isinstance(listed, list | tuple) else [listed]
    return Facet.of(column, [class_text(one) for one in values])


def _require_quantiles(roles: Roles) -> None:
    """Refuse levels that are none, what stands twice, and answers that have no quantiles."""
    levels, columns = roles.levels, roles.quantile_columns
    is_twice = min(len({*levels}), len({*columns})) < len(levels)
    if is_twice or not all(0.0 < one < 1.0 for one in levels):
        raise InputError(
            f"quantiles {dict(roles.quantiles)}; expected other columns for other levels above 0 "
            "and below 1, such as 0.1=p10, 0.9=p90"
        )
    if roles.problem not in (None, "regression") or roles.probability:
        raise InputError(
            "quantiles are of forecasts of numbers; leave them out, or probability and problem"
        )


def _read_quantiles(
    given: Mapping[Any, str] | str | Iterable[str] | None,
) -> tuple[tuple[float, str], ...]:
    """Read ``{0.1: "p10"}``, ``0.1=p10``, or several of these."""
    if isinstance(given, Mapping):
        pairs = [(str(level), str(column)) for level, column in given.items()]
    else:
        texts = [given] if isinstance(given, str) else given or ()
        pairs = [(level, column) for level, _, column in (str(one).partition("=") for one in texts)]
    for level, column in pairs:
        if not column or not _is_number(level):
            raise InputError(
                f'quantile "{level}={column}"; expected LEVEL=COLUMN, such as 0.1=p10, in Python '
                '{0.1: "p10"}'
            )
    return tuple(sorted((float(level), column.strip()) for level, column in pairs))
