"""Ranges of hyperparameters, and how a number between 0 and 1 becomes a value of one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Value = int | float | str
Values = dict[str, Value]
"""A value for each hyperparameter that is searched."""

LOGARITHMIC_FROM = 1000
"""`Auto` scaling is logarithmic when a continuous range spans this factor. The bound is ours; AWS names none."""


class Scaling(StrEnum):
    """How a range is spread over [0, 1]; AWS's names."""

    AUTO = "Auto"
    LINEAR = "Linear"
    LOGARITHMIC = "Logarithmic"
    REVERSE_LOGARITHMIC = "ReverseLogarithmic"


@dataclass(frozen=True, slots=True)
class Continuous:
    """Floats from `low` to `high`. Logarithmic needs low > 0, ReverseLogarithmic 0 <= low and high < 1."""

    name: str
    low: float
    high: float
    scaling: Scaling = Scaling.AUTO

    @property
    def count(self) -> float:
        """How many values there are."""
        return 1.0 if self.low == self.high else math.inf

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def at(self, unit: float) -> float:
        """The value at `unit` of [0, 1]."""
        match self._scaling():
            case Scaling.LOGARITHMIC:
                low, high = math.log(self.low), math.log(self.high)
                value = math.exp(low + unit * (high - low))
            case Scaling.REVERSE_LOGARITHMIC:
                low, high = math.log1p(-self.low), math.log1p(-self.high)
                value = -math.expm1(low + unit * (high - low))
            case _:
                value = self.low + unit * (self.high - self.low)
        return min(max(value, self.low), self.high)  # rounding may have led out

    def unit(self, value: float) -> float:
        """Where in [0, 1] `value` lies."""
        if self.low == self.high:
            return 0.0
        match self._scaling():
            case Scaling.LOGARITHMIC:
                share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
            case Scaling.REVERSE_LOGARITHMIC:
                low, high = math.log1p(-self.low), math.log1p(-self.high)
                share = (math.log1p(-value) - low) / (high - low)
            case _:
                share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def draw(self, generator: random.Random) -> float:
        """A value at random."""
        return self.at(generator.random())

    def read(self, text: str) -> float:
        """The value that `text` stands for. Raises ValueError."""
        return float(text)

    def _scaling(self) -> Scaling:
        if self.scaling is Scaling.AUTO:
            spans = self.low > 0 and self.high / self.low >= LOGARITHMIC_FROM
            return Scaling.LOGARITHMIC if spans else Scaling.LINEAR
        return self.scaling


@dataclass(frozen=True, slots=True)
class Integer:
    """Whole numbers from `low` to `high`, both included. Auto is linear; Logarithmic needs low > 0."""

    name: str
    low: int
    high: int
    scaling: Scaling = Scaling.AUTO

    @property
    def count(self) -> float:
        """How many values there are."""
        return float(self.high - self.low + 1)

    @property
    def is_logarithmic(self) -> bool:
        """Whether each factor counts alike."""
        return self.scaling is Scaling.LOGARITHMIC

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high

    def draw(self, generator: random.Random) -> int:
        """A value at random: the ends are as likely as their neighbours, for they have the room of a half beyond."""
        if self.is_logarithmic:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(generator.uniform(low, high))), self.low), self.high)
        return generator.randint(self.low, self.high)

    def read(self, text: str) -> int:
        """The value that `text` stands for. Raises ValueError."""
        return int(text)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of `values`."""

    name: str
    values: tuple[str, ...]

    @property
    def count(self) -> float:
        """How many values there are."""
        return float(len(self.values))

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def draw(self, generator: random.Random) -> str:
        """A value at random."""
        return generator.choice(self.values)

    def read(self, text: str) -> str:
        """The text itself."""
        return text


Range = Continuous | Integer | Categorical
Space = tuple[Range, ...]


def combinations(space: Sequence[Range]) -> float:
    """How many combinations of values there are; infinity when a range is continuous."""
    return math.prod(each.count for each in space)


def all_combinations(space: Sequence[Range]) -> Iterator[Values]:
    """Each combination once, the last range fastest. For finite spaces."""
    for values in itertools.product(*(_all(each) for each in space)):
        yield {each.name: value for each, value in zip(space, values, strict=True)}


def draw(space: Sequence[Range], generator: random.Random) -> Values:
    """Values at random."""
    return {each.name: each.draw(generator) for each in space}


def texts(values: Mapping[str, Value]) -> dict[str, str]:
    """As a container is told them: strings, floats with all their digits."""
    return {name: value if isinstance(value, str) else repr(value) for name, value in values.items()}


def read(space: Sequence[Range], given: Mapping[str, str]) -> Values | None:
    """The values that the texts stand for; None when one is missing, no number, or outside its range."""
    values: Values = {}
    for each in space:
        try:
            value = each.read(given[each.name])
        except (KeyError, ValueError):
            return None
        if value not in each:
            return None
        values[each.name] = value
    return values


def _all(each: Range) -> Sequence[Value]:
    match each:
        case Categorical():
            return each.values
        case Integer():
            return range(each.low, each.high + 1)
        case Continuous():
            return (each.low,)
