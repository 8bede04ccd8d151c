"""One measured figure: its samples, what was measured beside it in the same rounds, and what it has to reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

MICROSECONDS: Final = 1e6


class Of(StrEnum):
    """What a target is a bound of."""

    RATIO = "median ratio"
    MEDIAN = "median"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that the median ratio, the median or the worst sample has to keep."""

    bound: float
    of: Of = Of.RATIO
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `samples` and `references` have one entry a round, and the ratio is taken round by round."""

    what: str
    unit: str
    samples: Sequence[float]
    beside: str = ""
    references: Sequence[float] = ()
    target: Target | None = None

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def ratios(self) -> list[float]:
        """To the reference, by round; empty without one."""
        return [sample / beside for sample, beside in zip(self.samples, self.references, strict=False)]

    @property
    def ratio(self) -> float | None:
        """The median of them."""
        return median(self.ratios) if self.references else None

    @property
    def judged_by_ratio(self) -> bool:
        """Whether the ratio is what counts here; otherwise it is only there to compare with."""
        return bool(self.references) and (self.target is None or self.target.of is Of.RATIO)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        samples = self.ratios if self.judged_by_ratio else self.samples
        value = max(samples) if self.target.of is Of.WORST else median(samples)
        return value >= self.target.bound if self.target.at_least else value <= self.target.bound


def rotated(variants: Sequence[Callable[[], Mapping[str, float]]], rounds: int) -> dict[str, list[float]]:
    """The samples of all variants by name, one a round; each round starts with another variant, so none is favoured."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for place in range(len(variants)):
            for name, sample in variants[(number + place) % len(variants)]().items():
                found.setdefault(name, []).append(sample)
    return found
