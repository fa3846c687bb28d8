"""Shares rows between train, validation and test: by time, by hash of a key, or at random."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import ConfigError, DataError, PipelineError
from pipeline.core.records import SPLITS, Split
from pipeline.preprocess.config import HashSplit, RandomSplit, SplitConfig, TimeSplit
from pipeline.preprocess.raw import SPLIT_KEY
from pipeline.preprocess.row_hash import Hashes, hash_rows
from pipeline.preprocess.split_random import Places, at_random
from pipeline.preprocess.summary_cells import Distinct

_TRAIN, _VALIDATION, _TEST = range(3)


def assign(frame: pd.DataFrame, config: SplitConfig, strata: NDArray[Any], units: Hashes) -> Places:
    """Gives every row its split; the same rows always get the same splits.

    Args:
        frame: Clean rows, with `SPLIT_KEY` columns.
        config: How to split.
        strata: Label of each row, for a stratified random split.
        units: Rows with equal numbers stay together in a random split.

    Raises:
        DataError: A split gets no row.
        ConfigError: A bound of a time split is no moment.
    """
    match config:
        case TimeSplit():
            places = by_time(frame[SPLIT_KEY + config.column], config)
        case HashSplit():
            places = by_hash([frame[SPLIT_KEY + name] for name in config.columns], config)
        case RandomSplit():
            places = at_random(strata, units, config)
    shared = Shared()
    shared.add(frame, places, config)
    shared.refuse(config)
    verify(frame, places, config, units)
    return places


def by_time(moments: pd.Series[Any], config: TimeSplit) -> Places:
    """Train, validation, test in the order of time; a bound belongs to the later split."""
    values = _times(moments, config)
    bounds: list[Any] = [config.validation_from, config.test_from]
    if isinstance(config.test_from, str):
        bounds = [_moment(config, name) for name in ("validation_from", "test_from")]
    places: Places = np.searchsorted(np.array(bounds), values, side="right").astype(np.int8)
    return places


def _times(moments: pd.Series[Any], config: TimeSplit) -> NDArray[Any]:
    if isinstance(config.test_from, str):
        return in_time(moments)
    return moments.to_numpy(dtype=np.float64)


def in_time(words: pd.Series[Any]) -> NDArray[np.datetime64]:
    """ISO 8601 text as datetime64 in UTC; text without a zone counts as UTC."""
    codes, known = pd.factorize(words)
    moments = pd.to_datetime(pd.Series(known), format="ISO8601", utc=True)
    return moments.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")[codes]


def by_hash(keys: list[pd.Series[Any]], config: HashSplit) -> Places:
    """By the key's hash, read as a fraction of 2**64: a key's split depends on it and nothing else.

    SipHash-1-3 as pandas has it, keyed with the SHA-256 of the salt.
    """
    hash_key = hashlib.sha256(config.salt.encode()).hexdigest()[:16]
    mixed = np.zeros(len(keys[0]), np.uint64)
    for key in keys:
        codes, known = pd.factorize(key)
        hashes = pd.util.hash_array(np.asarray(known, dtype=object), hash_key=hash_key)
        # Odd multiplier and shift as in splitmix64, so that (a, b) and (b, a) differ.
        mixed = (mixed ^ hashes[codes]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return _shared(mixed / 2.0**64, config.validation_fraction, config.test_fraction)


def _shared(fraction: NDArray[np.float64], validation: float, test: float) -> Places:
    return np.where(fraction < test, _TEST, np.where(fraction < test + validation, 1, 0)).astype(
        np.int8
    )


def _moment(config: TimeSplit, name: str) -> np.datetime64:
    text = str(getattr(config, name))
    try:
        moment: np.datetime64 = in_time(pd.Series([text], dtype="str"))[0]
    except ValueError:
        raise ConfigError(
            f"config key 'data.split.{name}' has the value {text!r}",
            expected="a moment in ISO 8601, e.g. 2013-10-01",
            remedy=f"set data.split.{name} to such a value",
        ) from None
    return moment


@dataclass
class Shared:
    """How rows were shared between the splits; mergeable.

    Attributes:
        rows: Rows of each split.
        ends: Of a time split the first and the last moment of each.
        words: The same of all rows, as they are written.
        keys: How many keys a hash split has.
    """

    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SPLITS), np.int64))
    ends: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    words: tuple[Any, Any] | None = None
    keys: Distinct = field(default_factory=Distinct)

    def add(self, frame: pd.DataFrame, places: Places, config: SplitConfig) -> None:
        """Adds rows with their `SPLIT_KEY` columns and their places."""
        if not len(places):
            return
        self.rows = self.rows + np.bincount(places, minlength=len(SPLITS))
        if isinstance(config, TimeSplit):
            moments = frame[SPLIT_KEY + config.column]
            values = _times(moments, config)
            for place in np.unique(places).tolist():
                mine = values[places == place]
                self._stretch(place, mine.min(), mine.max())
            self._word(moments.min(), moments.max())
        if isinstance(config, HashSplit):
            self.keys.add(hash_rows(frame[[SPLIT_KEY + name for name in config.columns]]))

    def merge(self, other: Shared) -> None:
        """Adds what `other` has seen."""
        self.rows = self.rows + other.rows
        for place, ends in other.ends.items():
            self._stretch(place, *ends)
        if other.words:
            self._word(*other.words)
        self.keys.merge(other.keys)

    @property
    def counts(self) -> Mapping[Split, int]:
        """Rows of each split."""
        return dict(zip(SPLITS, self.rows.tolist(), strict=True))

    def refuse(self, config: SplitConfig) -> None:
        """Raises a DataError where a split has no row, a PipelineError where time runs back."""
        self._refuse_empty(config)
        for earlier, later in ((_TRAIN, _VALIDATION), (_VALIDATION, _TEST)):
            if self.ends and self.ends[earlier][1] >= self.ends[later][0]:
                raise _not_in_order(earlier, config)

    def _stretch(self, place: int, low: Any, high: Any) -> None:
        before = self.ends.get(place, (low, high))
        self.ends[place] = (min(before[0], low), max(before[1], high))

    def _word(self, low: Any, high: Any) -> None:
        before = self.words or (low, high)
        self.words = (min(before[0], low), max(before[1], high))

    def _refuse_empty(self, config: SplitConfig) -> None:
        empty = [name for name, count in self.counts.items() if count == 0]
        if not empty:
            return
        said = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        remedy = "bring more rows, or set larger fractions under data.split"
        if isinstance(config, TimeSplit) and self.words:
            said += f"; {config.column} runs from {self.words[0]} to {self.words[1]}"
            remedy = "move data.split.validation_from and data.split.test_from inside that range"
        if isinstance(config, HashSplit):
            said += f"; there are {self.keys.count:,} keys"
        raise DataError(
            f"the {' and the '.join(empty)} split has no row ({said})",
            expected="rows in every split",
            remedy=remedy,
        )


def _not_in_order(earlier: int, config: SplitConfig) -> PipelineError:
    column = config.column if isinstance(config, TimeSplit) else ""
    return PipelineError(
        f"rows of {SPLITS[earlier]} are not all earlier than those of {SPLITS[earlier + 1]} "
        f"({column})",
        expected="splits in the order of time",
        remedy="run preprocess again; report this where it happens again",
    )


def counts(places: Places) -> Mapping[Split, int]:
    """Rows of each split."""
    rows = np.bincount(places, minlength=len(SPLITS)).tolist()
    return dict(zip(SPLITS, rows, strict=True))


def verify(frame: pd.DataFrame, places: Places, config: SplitConfig, units: Hashes) -> None:
    """Makes sure that nothing leaks from one split to another.

    Time runs strictly from train through validation to test; a key, or at random a row and its
    copies, stand in one split only.

    Raises:
        PipelineError: It does; never by `assign`, whoever changed the splits.
    """
    match config:
        case TimeSplit():
            shared = Shared()
            shared.add(frame, places, config)
            shared.refuse(config)
        case HashSplit():
            keys = frame[[SPLIT_KEY + name for name in config.columns]]
            _verify_together(keys, places, ", ".join(config.columns))
        case RandomSplit():
            _verify_together(pd.DataFrame({"row": units}), places, "equal rows")


def _verify_together(keys: pd.DataFrame, places: Places, what: str) -> None:
    placed = keys.assign(place=places).drop_duplicates()
    straddling = placed[placed.duplicated(list(keys.columns))]
    if len(straddling):
        shown = ", ".join(str(value) for value in straddling.iloc[0, :-1])
        raise PipelineError(
            f"{len(straddling):,} keys stand in more than one split, e.g. {shown} ({what})",
            expected="all rows of a key in one split",
            remedy="run preprocess again; report this where it happens again",
        )
