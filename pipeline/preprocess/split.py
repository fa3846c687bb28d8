"""Shares rows between train, validation and test: by time, by hash of a key, or at random."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import ConfigError, DataError, PipelineError
from pipeline.core.records import SPLITS, Split
from pipeline.preprocess.config import HashSplit, RandomSplit, SplitConfig, TimeSplit
from pipeline.preprocess.raw import SPLIT_KEY

Places = NDArray[np.int8]
"""For each row the index of its split in `SPLITS`."""

_TRAIN, _VALIDATION, _TEST = range(3)
_DECILES = 10


def assign(
    frame: pd.DataFrame, config: SplitConfig, strata: NDArray[Any], same: NDArray[np.int64]
) -> Places:
    """Gives every row its split; the same rows always get the same splits.

    Args:
        frame: Clean rows, with `SPLIT_KEY` columns.
        config: How to split.
        strata: Label of each row, for a stratified random split.
        same: Rows with equal numbers stay together in a random split.

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
            places = at_random(strata, same, config)
    _refuse_empty(places, frame, config)
    verify(frame, places, config, same)
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


def at_random(labels: NDArray[Any], same: NDArray[np.int64], config: RandomSplit) -> Places:
    """By a seeded shuffle of the distinct rows, within each stratum where the config says so.

    Every stratum of n rows gives `round(n * fraction)` of them to test and validation.
    """
    first = groups = same
    if not np.array_equal(same, np.arange(len(same))):  # sorting is for those who have copies
        _, first, groups = np.unique(same, return_index=True, return_inverse=True)
    strata = _strata(labels[first]) if config.stratify else np.zeros(len(first), np.int64)
    shuffled = np.random.default_rng(config.seed).permutation(len(first))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    sizes = np.bincount(strata)
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    size = sizes[strata[order]]
    test = np.round(size * config.test_fraction)
    validation = np.round(size * config.validation_fraction)
    places = np.empty(len(order), np.int8)
    places[order] = np.where(ranks < test, _TEST, np.where(ranks < test + validation, 1, 0))
    return places[groups]


def _shared(fraction: NDArray[np.float64], validation: float, test: float) -> Places:
    return np.where(fraction < test, _TEST, np.where(fraction < test + validation, 1, 0)).astype(
        np.int8
    )


def _strata(labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.dtype.kind == "i":
        return labels.astype(np.int64)
    cuts = np.unique(np.quantile(labels, np.arange(1, _DECILES) / _DECILES))
    return np.searchsorted(cuts, labels, side="right").astype(np.int64)


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


def _refuse_empty(places: Places, frame: pd.DataFrame, config: SplitConfig) -> None:
    rows = counts(places)
    empty = [name for name, count in rows.items() if count == 0]
    if not empty:
        return
    said = ", ".join(f"{name} {count:,}" for name, count in rows.items())
    remedy = "bring more rows, or set larger fractions under data.split"
    if isinstance(config, TimeSplit):
        times = frame[SPLIT_KEY + config.column]
        said += f"; {config.column} runs from {times.min()} to {times.max()}"
        remedy = "move data.split.validation_from and data.split.test_from inside that range"
    if isinstance(config, HashSplit):
        keys = len(frame[[SPLIT_KEY + name for name in config.columns]].drop_duplicates())
        said += f"; there are {keys:,} keys"
    raise DataError(
        f"the {' and the '.join(empty)} split has no row ({said})",
        expected="rows in every split",
        remedy=remedy,
    )


def counts(places: Places) -> Mapping[Split, int]:
    """Rows of each split."""
    rows = np.bincount(places, minlength=len(SPLITS)).tolist()
    return dict(zip(SPLITS, rows, strict=True))


def verify(
    frame: pd.DataFrame, places: Places, config: SplitConfig, same: NDArray[np.int64]
) -> None:
    """Makes sure that nothing leaks from one split to another.

    Time runs strictly from train through validation to test; a key, or at random a row and its
    copies, stand in one split only.

    Raises:
        PipelineError: It does; never by `assign`, whoever changed the splits.
    """
    match config:
        case TimeSplit():
            _verify_time(frame[SPLIT_KEY + config.column], places, config)
        case HashSplit():
            keys = frame[[SPLIT_KEY + name for name in config.columns]]
            _verify_together(keys, places, ", ".join(config.columns))
        case RandomSplit():
            _verify_together(pd.DataFrame({"row": same}), places, "equal rows")


def _verify_time(moments: pd.Series[Any], places: Places, config: TimeSplit) -> None:
    values = _times(moments, config)
    for earlier, later in ((_TRAIN, _VALIDATION), (_VALIDATION, _TEST)):
        if values[places == earlier].max() >= values[places == later].min():
            raise PipelineError(
                f"rows of {SPLITS[earlier]} are not all earlier than those of {SPLITS[later]} "
                f"({config.column})",
                expected="splits in the order of time",
                remedy="run preprocess again; report this where it happens again",
            )


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


def with_groups(same: NDArray[np.int64], groups: pd.Series[Any]) -> NDArray[np.int64]:
    """Gives rows of one group equal numbers; rows without a group keep theirs of `same`."""
    codes, _ = pd.factorize(groups)
    grouped = (groups != "").to_numpy()
    return np.where(grouped, int(same.max(initial=0)) + 1 + codes, same)


def same_rows(frame: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each row; rows equal in every column have equal numbers."""
    groups = frame.groupby(list(frame.columns), sort=False, dropna=False).ngroup()
    return np.asarray(groups, dtype=np.int64)
