"""The table behind the profile: all splits under each other, and each column read once.

One pass over a column then counts every split; from there on only small tables of counts are
worked with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.features import BooleanFeature, DatetimeFeature, FeatureSet, Task
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.preprocess.profile_records import Association, ColumnKind
from pipeline.preprocess.profile_statistics import Bools, Floats, Ints


@dataclass(frozen=True)
class Stack:
    """The splits under each other, training rows first.

    Attributes:
        splits: Frames in served dtypes, with the label in `LABEL`.
        task: Kind of prediction.
        classes: Class names by index; empty for regression.
        label: Class index or value of every row, shape [rows].
    """

    splits: Mapping[Split, pd.DataFrame]
    task: Task
    classes: tuple[str, ...]
    label: Floats | Ints

    @classmethod
    def of(cls, splits: Mapping[Split, pd.DataFrame], features: FeatureSet) -> Stack:
        """Stacks the processed `splits`."""
        label = np.concatenate([splits[name][LABEL].to_numpy() for name in SPLITS])
        return cls(splits, features.label.task, features.label.classes, label)

    @cached_property
    def rows(self) -> dict[Split, int]:
        """Rows of each split."""
        return {name: len(self.splits[name]) for name in SPLITS}

    @cached_property
    def split_index(self) -> Ints:
        """Position in `SPLITS` of each row's split, shape [rows]."""
        return np.repeat(np.arange(len(SPLITS)), [self.rows[name] for name in SPLITS])

    @cached_property
    def train(self) -> slice:
        """The training rows."""
        return slice(0, self.rows["train"])

    def column(self, name: str) -> pd.Series:
        """One column of all splits."""
        return pd.concat([self.splits[split][name] for split in SPLITS], ignore_index=True)

    def count(self, groups: Ints, size: int) -> dict[Split, Ints]:
        """Rows by group, shape [size], in each split; negative groups are not counted."""
        known = groups >= 0
        code = (self.split_index * size + groups)[known]
        counts = np.bincount(code, minlength=len(SPLITS) * size).reshape(len(SPLITS), size)
        return dict(zip(SPLITS, counts, strict=True))

    def count_classes(self, groups: Ints, size: int) -> Ints:
        """Training rows by group and class, shape [size, classes]; negative groups left out."""
        groups = groups[self.train]
        known = groups >= 0
        width = len(self.classes)
        code = groups[known] * width + self.label[self.train][known].astype(np.int64)
        return np.bincount(code, minlength=size * width).reshape(size, width)


@dataclass(frozen=True)
class Values:
    """A column of all splits: numbers, or codes of words.

    Attributes:
        name: Name in the table.
        kind: What the values are.
        numbers: float64 (dates as seconds since 1970), NaN where missing; empty for words.
        codes: Position in `words`, -1 where missing; empty for numbers.
        words: The different words, in order of appearance.
    """

    name: str
    kind: ColumnKind
    numbers: Floats
    codes: Ints
    words: Sequence[str]

    @property
    def missing(self) -> Bools:
        """Which rows have no value, shape [rows]."""
        return np.isnan(self.numbers) if len(self.numbers) else self.codes < 0


@dataclass(frozen=True)
class Sketch:
    """What numbers and words each find out in their own way.

    Attributes:
        distinct: Different training values.
        common_rows: Training rows of the commonest value.
        summary: Quartiles and so on, for numbers.
        association: With the label, the headline first.
        ordered: Whether bars are neighbours on an axis.
        bars: Bar of the picture that each row falls into, -1 for none, shape [rows].
        names: What each bar stands for.
        edges: Edges of bars of equal width; empty otherwise.
        cells: Cell that each row falls into for drift, -1 where missing, shape [rows].
        cell_count: How many cells there are.
        unseen: Rows of each split with a word that no training row has.
    """

    distinct: int
    common_rows: int
    summary: dict[str, float]
    association: tuple[Association, ...]
    ordered: bool
    bars: Ints
    names: tuple[str, ...]
    edges: tuple[float, ...]
    cells: Ints
    cell_count: int
    unseen: dict[Split, int]


def kind_of(series: pd.Series, features: FeatureSet) -> ColumnKind:
    """What the values of a column are: by the feature that reads it, else by dtype."""
    readers = [f for f in features.features if getattr(f, "column", None) == series.name]
    if pd.api.types.is_bool_dtype(series) or any(isinstance(f, BooleanFeature) for f in readers):
        return "truth"
    is_date = any(isinstance(f, DatetimeFeature) for f in readers)
    if is_date or pd.api.types.is_datetime64_any_dtype(series):
        return "date"
    return "number" if pd.api.types.is_numeric_dtype(series) else "category"


def read(stack: Stack, name: str, features: FeatureSet) -> Values:
    """Reads a column of all splits in the form in which its kind is described."""
    series = stack.column(name)
    no_numbers, no_codes = np.empty(0), np.empty(0, dtype=np.int64)
    match kind_of(series, features):
        case "number":
            numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
            numbers = np.where(np.isinf(numbers), np.nan, numbers)
            return Values(name, "number", numbers, no_codes, ())
        case "date":
            return Values(name, "date", _seconds(series), no_codes, ())
        case "truth":
            numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
            codes = np.where(np.isnan(numbers), -1, numbers != 0).astype(np.int64)
            return Values(name, "truth", no_numbers, codes, ("false", "true"))
    codes, words = _words(series)
    return Values(name, "category", no_numbers, codes, words)


def _words(series: pd.Series) -> tuple[Ints, list[str]]:
    """Codes and the different words; the empty word, which means missing, becomes -1."""
    codes, uniques = pd.factorize(series)
    words = [str(word) for word in uniques]
    if "" in words:
        empty = words.index("")
        codes = np.where(codes == empty, -1, codes - (codes > empty))
        del words[empty]
    return codes.astype(np.int64), words


def _seconds(series: pd.Series) -> Floats:
    """Seconds since 1970 (UTC), NaN where missing or not a date. Each date is parsed once."""
    codes, texts = pd.factorize(series)
    if not len(texts):
        return np.full(len(series), np.nan)
    moments = pd.to_datetime(pd.Series(texts), format="ISO8601", errors="coerce", utc=True)
    seconds = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    return np.where(codes >= 0, seconds[codes], np.nan)
