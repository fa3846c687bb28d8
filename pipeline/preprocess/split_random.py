"""Shares rows at random: by the rank of a seeded hash of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.preprocess.config import RandomSplit
from pipeline.preprocess.row_hash import Hashes, mixed
from pipeline.preprocess.summary_cells import Cells, occurring

Places = NDArray[np.int8]
"""For each row the index of its split in `SPLITS`."""

_TRAIN, _VALIDATION, _TEST = range(3)
_DECILES = 10
_MOST_RANKS = 1 << 14


def at_random(labels: NDArray[Any], units: Hashes, config: RandomSplit) -> Places:
    """By the rank of a seeded hash among all rows, or of each stratum where the config says so.

    Args:
        labels: Of each row.
        units: Of each row; rows with equal numbers stay together.
        config: Shares and seed.

    Returns:
        Of every stratum of n rows `round(n * fraction)` are for test and validation; of more than
        16,384 rows as nearly as `summary_cells.Cells` know.
    """
    ranked = Ranked(config, deciles(labels) if config.stratify else None)
    ranked.add(labels, units)
    return ranked.places(labels, units)


class Ranked:
    """Where the places of a random split change; mergeable.

    A row's rank is a hash of itself and the seed, so that it does not depend on the other rows, on
    their order or on the parts that they come in.

    Args:
        config: Shares, seed, and whether strata are split by themselves.
        cuts: Of a label of numbers, where its strata begin; None: the label counts classes.
    """

    def __init__(self, config: RandomSplit, cuts: NDArray[np.float64] | None) -> None:
        self._config = config
        self._cuts = cuts
        self._cells: dict[int, Cells] = {}

    def add(self, labels: NDArray[Any], units: Hashes) -> None:
        """Adds rows."""
        ranks, strata = self._ranks(units), self._strata(labels)
        for stratum in np.unique(strata).tolist():
            cells = self._cells.setdefault(stratum, Cells(most=_MOST_RANKS))
            cells.add(*occurring(ranks[strata == stratum]))

    def merge(self, other: Ranked) -> None:
        """Adds what `other` has seen."""
        for stratum, cells in other._cells.items():
            self._cells.setdefault(stratum, Cells(most=_MOST_RANKS)).merge(cells)

    def places(self, labels: NDArray[Any], units: Hashes) -> Places:
        """The places of rows, once all have been added."""
        ranks, strata = self._ranks(units), self._strata(labels)
        size = max(self._cells, default=0) + 1
        test, validation = np.full(size, -1.0), np.full(size, -1.0)
        for stratum, cells in self._cells.items():
            for_test = round(cells.rows * self._config.test_fraction)
            further = for_test + round(cells.rows * self._config.validation_fraction)
            test[stratum] = cells.at(for_test - 1) if for_test else -1.0
            validation[stratum] = cells.at(further - 1) if further else -1.0
        places: Places = np.where(
            ranks <= test[strata], _TEST, np.where(ranks <= validation[strata], _VALIDATION, _TRAIN)
        ).astype(np.int8)
        return places

    def _ranks(self, units: Hashes) -> NDArray[np.float64]:
        """Numbers from 0 to 1, of 53 bits."""
        seed = mixed(np.array([self._config.seed % 2**64], np.uint64))
        ranks: NDArray[np.float64] = (mixed(units ^ seed) >> np.uint64(11)) / 2.0**53
        return ranks

    def _strata(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        if not self._config.stratify:
            return np.zeros(len(labels), np.int64)
        if self._cuts is None:
            return labels.astype(np.int64)
        return np.searchsorted(self._cuts, labels, side="right").astype(np.int64)


def deciles(labels: NDArray[Any]) -> NDArray[np.float64] | None:
    """Where the tenths of a label of numbers begin; None for classes."""
    if labels.dtype.kind == "i":
        return None
    cells = Cells()
    cells.add(*occurring(labels))
    return tenths(cells)


def tenths(cells: Cells) -> NDArray[np.float64]:
    """Where the tenths of numbers begin."""
    return np.unique(cells.at(cells.rows * np.arange(1, _DECILES) // _DECILES))
