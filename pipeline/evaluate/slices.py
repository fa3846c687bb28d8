"""Parts of the data by the values of a column, to see where a model is weaker than on the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.console import say
from pipeline.core.features import CategoricalFeature, DatetimeFeature, FeatureSet, TargetFeature
from pipeline.evaluate.config import SlicesConfig
from pipeline.evaluate.ranking import Bools, Floats

_QUARTILES = 4
_MISSING = "(missing)"
_MONTH_CHARACTERS = 7
"""`YYYY-MM` of an ISO 8601 date."""


@dataclass(frozen=True)
class Slice:
    """Some rows.

    Attributes:
        column: What they are cut by.
        value: What they have in common.
        chosen: `[rows]`, whether a row belongs.
    """

    column: str
    value: str
    chosen: Bools

    @property
    def name(self) -> str:
        """`column=value`."""
        return f"{self.column}={self.value}"

    @property
    def rows(self) -> int:
        """How many rows belong."""
        return int(self.chosen.sum())


def slice_columns(frame: pd.DataFrame, features: FeatureSet, config: SlicesConfig) -> list[str]:
    """The columns to slice by: those of the config, or the text and truth columns of few values.

    Args:
        frame: Rows as processed.
        features: Says which text columns are categories (not dates, not ids).
        config: `columns` null asks for the automatic choice.
    """
    if config.columns is None:
        return _automatic(frame, features, config)
    # Mistyped names were refused as the config was composed (see `agreement`).
    if gone := [name for name in config.columns if name not in frame.columns]:
        say(f"no slices by {', '.join(gone)}: preprocess left out what says nothing")
    return [name for name in config.columns if name in frame.columns]


def slices(
    frame: pd.DataFrame, columns: list[str], features: FeatureSet, config: SlicesConfig
) -> Iterator[Slice]:
    """The slices of `frame` by each column, the largest first; small ones are left out."""
    dates = {f.column for f in features.features if isinstance(f, DatetimeFeature)}
    for column in columns:
        codes, words = pd.factorize(_groups(frame[column], config, date=column in dates))
        sizes = np.bincount(codes, minlength=len(words))
        for place in np.argsort(-sizes, kind="stable")[: config.values]:
            if sizes[place] >= config.min_rows:
                yield Slice(column, str(words[place]) or _MISSING, codes == place)


def _automatic(frame: pd.DataFrame, features: FeatureSet, config: SlicesConfig) -> list[str]:
    words = [
        f.column for f in features.features if isinstance(f, CategoricalFeature | TargetFeature)
    ]
    truths = [column.name for column in features.columns if column.dtype == "bool"]
    known = [name for name in dict.fromkeys([*words, *truths]) if name in frame.columns]
    sizes = {name: frame[name].nunique() for name in known}
    several = sorted((name for name in known if sizes[name] > 1), key=lambda name: sizes[name])
    return several[: config.automatic_columns]


def _groups(values: pd.Series[Any], config: SlicesConfig, *, date: bool) -> npt.NDArray[np.object_]:
    """The word by which each row is grouped."""
    if date:
        return values.str.slice(0, _MONTH_CHARACTERS).to_numpy(dtype=object)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers: Floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if len(np.unique(numbers[np.isfinite(numbers)])) > config.values:
            return _quartiles(numbers)
        return np.array([_number_word(number) for number in numbers.tolist()], dtype=object)
    return values.astype("str").fillna("").to_numpy(dtype=object)


def _quartiles(numbers: Floats) -> npt.NDArray[np.object_]:
    finite = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[finite], np.linspace(0, 1, _QUARTILES + 1)))
    names = [f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges)]
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(names) - 1)
    named = np.array(names, dtype=object)[place]
    named[~finite] = ""
    return named


def _number_word(number: float) -> str:
    return f"{number:g}" if np.isfinite(number) else ""
