"""Mergeable summaries of numbers: what parts of a table tell, added up, tells of the whole.

Each has `add` and `merge`. Memory does not depend on how many rows were added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.preprocess.row_hash import Hashes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_CELLS = 1 << 16
"""Up to so many different numbers `Cells` keeps each of them."""
_SMALLEST_HASHES = 1 << 14
_SIGN = np.uint64(1 << 63)


@dataclass
class Moments:
    """How many numbers, their mean, spread and ends.

    Means and spreads are put together by the formula of Chan, Golub and LeVeque (1979), so the
    last digits depend on the parts, by about 1e-15 of the value. The mean has a `rest`: of large
    numbers that lie close together, its rounding alone would be as large as they are apart.

    Attributes:
        count: How many.
        mean: Their mean; 0 where there is none.
        rest: What the mean lacks for want of digits.
        m2: Sum of squared differences from the mean.
        low: The smallest; infinity where there is none.
        high: The largest; minus infinity where there is none.
    """

    count: int = 0
    mean: float = 0.0
    rest: float = 0.0
    m2: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, numbers: Floats, counts: Ints | None = None) -> Moments:
        """Of finite numbers, or of each as often as `counts` says."""
        if not len(numbers):
            return cls()
        ends = float(numbers.min()), float(numbers.max())
        rows = len(numbers) if counts is None else int(counts.sum())
        # Numbers too large to be squared are refused by name later.
        with np.errstate(over="ignore", invalid="ignore"):
            total = numbers.sum() if counts is None else (numbers * counts).sum()
            near = float(total / rows)
            apart = numbers - near
            weighted = apart if counts is None else apart * counts
            lacking = float(weighted.sum() / rows)
            squares = np.multiply(weighted, apart, out=apart).sum()
            # What the rounding of the mean adds to the squares is taken off again.
            m2 = float(squares - rows * np.float64(lacking) ** 2)
        return cls(rows, *_with_rest(near, lacking), max(m2, 0.0), *ends)

    def add(self, numbers: Floats) -> None:
        """Adds finite numbers."""
        self.merge(Moments.of(numbers))

    def merge(self, other: Moments) -> None:
        """Adds what `other` has seen."""
        if not other.count:
            return
        if not self.count:
            self.mean, self.rest = other.mean, other.rest
        count = self.count + other.count
        apart = (other.mean - self.mean) + (other.rest - self.rest)
        self.m2 += other.m2 + apart * apart * self.count * other.count / count
        mean, rest = _with_rest(self.mean, apart * other.count / count)
        self.mean, self.rest = _with_rest(mean, self.rest + rest)
        self.count = count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def deviation(self) -> float:
        """Standard deviation of the population (ddof 0)."""
        return float(np.sqrt(self.m2 / self.count)) if self.count else 0.0


def _with_rest(one: float, other: float) -> tuple[float, float]:
    """A sum and its rounding error, both exact (Knuth's two-sum)."""
    total = one + other
    its = total - one
    return total, (one - (total - its)) + (other - its)


@dataclass
class Cells:
    """Different numbers in order and how often each occurs: histogram and quantiles.

    Up to `most` different numbers all of them are kept, and everything is exact. Beyond that,
    numbers that agree in sign, exponent and the leading bits of their mantissa share a cell, which
    is known by its largest number; as many bits as fit `most` cells count (cells of about equal
    relative width, as in DDSketch: Masson, Rim and Lee, 2019). A quantile is then off by the rows
    of one cell at most (`rank_error`). The cells depend on the numbers alone: not on their order,
    nor on the parts that they came in.

    Attributes:
        most: Cells kept at most.
        shift: Trailing bits that do not count.
        numbers: The largest number of each cell, increasing.
        counts: How many numbers each cell holds.
    """

    most: int = MOST_CELLS
    shift: int = 0
    numbers: Floats = field(default_factory=lambda: np.empty(0))
    counts: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, numbers: Floats, counts: Ints) -> None:
        """Adds finite numbers, increasing, and how often each occurs."""
        self._absorb(numbers, counts)

    def merge(self, other: Cells) -> None:
        """Adds what `other` has seen; both keep as many cells at most."""
        self.shift = max(self.shift, other.shift)
        self._absorb(other.numbers, other.counts)

    @property
    def rows(self) -> int:
        """How many numbers were added."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Whether every different number has a cell of its own."""
        return self.shift == 0

    @property
    def rank_error(self) -> float:
        """By what share of the rows a quantile can be off, 0 to 1; 0 where it is exact."""
        return 0.0 if self.exact else float(self.counts.max() / self.rows)

    def at(self, ranks: Any) -> Floats:
        """The numbers that stand at `ranks`, counted from 0 in increasing order."""
        places = np.searchsorted(np.cumsum(self.counts), ranks, side="right")
        found: Floats = self.numbers[np.minimum(places, len(self.numbers) - 1)]
        return found

    def quantiles(self, shares: Any) -> Floats:
        """Quantiles by the inverse of the distribution (type 1 of Hyndman and Fan, 1996)."""
        return self.at(np.ceil(self.rows * np.asarray(shares, np.float64) - 1).clip(0))

    def _absorb(self, numbers: Floats, counts: Ints) -> None:
        numbers = np.concatenate([self.numbers, numbers])
        counts = np.concatenate([self.counts, counts])
        order = np.argsort(numbers, kind="stable")
        self.numbers, self.counts = numbers[order], counts[order]
        self._unite()
        if len(self.numbers) > self.most:
            self._coarsen()
            self._unite()

    def _unite(self) -> None:
        """Makes one cell of those with the same key."""
        keys = self._keys(self.numbers)
        ends = np.flatnonzero(np.append(keys[1:] != keys[:-1], True)[: len(keys)])
        totals = np.cumsum(self.counts)[ends]
        self.numbers, self.counts = self.numbers[ends], np.diff(totals, prepend=0)

    def _coarsen(self) -> None:
        """Finds the smallest shift that leaves no more than `most` cells."""
        bits = _ordered_bits(self.numbers)
        apart = bits[1:] ^ bits[:-1]
        upper, lower = apart >> np.uint64(32), apart & np.uint64(0xFFFFFFFF)
        # Two neighbours stay apart as long as their highest differing bit counts.
        highest = np.where(upper > 0, 32 + np.frexp(upper)[1], np.frexp(lower)[1])
        stay_apart = len(highest) - np.cumsum(np.bincount(highest, minlength=65))
        self.shift = int(np.flatnonzero(stay_apart + 1 <= self.most)[0])

    def _keys(self, numbers: Floats) -> Hashes:
        return _ordered_bits(numbers) >> np.uint64(self.shift)


def occurring(numbers: Floats) -> tuple[Floats, Ints]:
    """The different numbers in order, and how often each occurs; -0.0 is 0.0."""
    ordered = np.sort(numbers) + 0.0
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])
    return ordered[ends], np.diff(ends, prepend=-1)


def _ordered_bits(numbers: Floats) -> Hashes:
    """The bits of each number, so that larger numbers have larger bits."""
    bits = (numbers + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


@dataclass
class Distinct:
    """How many different values there are, from the smallest of their hashes.

    Exact up to 16,384; beyond that the standard error is 0.8 % (Bar-Yossef and others, 2002).
    """

    smallest: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, hashes: Hashes) -> None:
        """Adds values by their hashes."""
        if len(self.smallest) == _SMALLEST_HASHES:
            hashes = hashes[hashes < self.smallest[-1]]
        if len(hashes):
            self.smallest = np.union1d(self.smallest, hashes)[:_SMALLEST_HASHES]

    def merge(self, other: Distinct) -> None:
        """Adds what `other` has seen."""
        self.add(other.smallest)

    @property
    def count(self) -> int:
        """How many, exactly or nearly."""
        if len(self.smallest) < _SMALLEST_HASHES:
            return len(self.smallest)
        return round((_SMALLEST_HASHES - 1) / (float(self.smallest[-1]) / 2.0**64))
