"""The table behind the profile: all splits under each other, and each column read once.

One pass over a column then counts every split; from there on only small tables of counts are
worked with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.core.features import BagFeature, BooleanFeature, DatetimeFeature, FeatureSet, Task
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.preprocess.profile_records import Association, ColumnKind, Distribution
from pipeline.preprocess.profile_statistics import Bools, Floats, Ints

Labels = Floats | Ints

_BLOCK_ROWS = 100_000


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
    label: Labels

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
    def bounds(self) -> dict[Split, slice]:
        """Where each split's rows stand."""
        ends = np.cumsum([self.rows[name] for name in SPLITS]).tolist()
        return {
            name: slice(end - self.rows[name], end) for name, end in zip(SPLITS, ends, strict=True)
        }

    @property
    def train(self) -> slice:
        """The training rows."""
        return self.bounds["train"]

    def column(self, name: str) -> pd.Series:
        """One column of all splits."""
        parts = [self.splits[split][name] for split in SPLITS]
        whole: pd.Series = pd.concat(parts, ignore_index=True)
        return whole

    def tally(self, groups: Ints, size: int) -> Tally:
        """Counts rows by group.

        Args:
            groups: Group of every row from 0, -1 for missing, shape [rows].
            size: How many groups there are.
        """
        # Shifted by one, because that is several times faster than leaving the -1 out.
        shifted = groups + 1
        rows = {
            split: np.roll(np.bincount(shifted[where], minlength=size + 1), -1)
            for split, where in self.bounds.items()
        }
        train, label = shifted[self.train], self.label[self.train]
        if self.task == "regression":
            sums = np.bincount(train, weights=label, minlength=size + 1)
            return Tally(rows, np.empty((size + 1, 0), dtype=np.int64), np.roll(sums, -1))
        width = len(self.classes)
        counts = np.bincount(train * width + label, minlength=(size + 1) * width)
        classes = np.roll(counts.reshape(size + 1, width), -1, axis=0)
        return Tally(rows, classes, np.empty(0))


@dataclass(frozen=True)
class Tally:
    """Rows by group; the last place is of the missing.

    Attributes:
        rows: Rows of each split, shape [groups + 1].
        classes: Training rows by class, shape [groups + 1, classes]; no classes in a regression.
        sums: Sum of the label over training rows, shape [groups + 1]; empty in a classification.
    """

    rows: Mapping[Split, Ints]
    classes: Ints
    sums: Floats

    def distribution(
        self, chosen: Ints, names: Sequence[str], edges: Sequence[float] = (), *, ordered: bool
    ) -> Distribution:
        """The picture of the groups `chosen`, called `names`."""
        train = self.rows["train"][chosen]
        means = self.sums[chosen] / np.maximum(train, 1) if len(self.sums) else ()
        return Distribution(
            ordered=ordered,
            names=tuple(names),
            edges=tuple(edges),
            counts={split: tuple(rows[chosen].tolist()) for split, rows in self.rows.items()},
            classes=tuple(tuple(row) for row in self.classes[chosen].tolist() if row),
            label_means=tuple(
                float(mean) if count else None for mean, count in zip(means, train, strict=False)
            ),
        )

    @property
    def missing_classes(self) -> Ints:
        """Training rows with and without a value by class, shape [2, classes]."""
        return np.stack([self.classes[:-1].sum(axis=0), self.classes[-1]])

    def commonest(self, order: Ints, kept: int) -> dict[Split, Ints]:
        """Rows of each split in the first `kept` groups of `order`, the others, the missing."""
        return {
            split: np.concatenate([rows[order[:kept]], [rows[order[kept:]].sum()], rows[-1:]])
            for split, rows in self.rows.items()
        }


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

    @cached_property
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
        distribution: The picture.
        missing_classes: Training rows with and without a value by class, shape [2, classes].
        cells: Rows of each split by the cell they fall into for drift, the missing last.
        unseen: Rows of each split with a word that no training row has.
    """

    distinct: int
    common_rows: int
    summary: dict[str, float]
    association: tuple[Association, ...]
    distribution: Distribution
    missing_classes: Ints
    cells: Mapping[Split, Ints]
    unseen: dict[Split, int]


def kind_of(series: pd.Series, features: FeatureSet) -> ColumnKind:
    """What the values of a column are: by the feature that reads it, else by dtype."""
    readers = [f for f in features.features if getattr(f, "column", None) == series.name]
    if pd.api.types.is_bool_dtype(series) or any(isinstance(f, BooleanFeature) for f in readers):
        return "truth"
    is_date = any(isinstance(f, DatetimeFeature) for f in readers)
    if any(isinstance(f, BagFeature) for f in readers):
        return "text"
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
            return Values(name, "number", _finite(numbers), no_codes, ())
        case "date":
            return Values(name, "date", _seconds(series), no_codes, ())
        case "truth":
            numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
            codes = np.where(np.isnan(numbers), -1, numbers != 0).astype(np.int64)
            return Values(name, "truth", no_numbers, codes, ("false", "true"))
        case kind:
            return Values(name, kind, no_numbers, *_words(series))


def _finite(numbers: Floats) -> Floats:
    """Infinity is missing. Adding zero turns -0.0 into 0.0."""
    return np.where(np.isinf(numbers), np.nan, numbers) + 0.0


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
    """Seconds since 1970 (UTC), NaN where missing or not a date.

    In blocks, because parsing makes Python text of every date.
    """
    starts = range(0, len(series), _BLOCK_ROWS)
    blocks = [_seconds_of(series.iloc[start : start + _BLOCK_ROWS]) for start in starts]
    return np.concatenate(blocks) if blocks else np.empty(0)


_EPOCH = np.datetime64(0, "us")


def _seconds_of(series: pd.Series) -> Floats:
    """The same of one block, in which each date is parsed once."""
    codes, texts = pd.factorize(series)
    if not len(texts):
        return np.full(len(series), np.nan)
    moments = pd.to_datetime(pd.Series(texts), format="ISO8601", errors="coerce", utc=True)
    # In NumPy, since pandas counts from a moment in nanoseconds, which do not reach the year 9999.
    since = moments.dt.tz_localize(None).to_numpy(dtype="datetime64[us]") - _EPOCH
    seconds = since / np.timedelta64(1, "s")
    return np.where(codes >= 0, seconds[codes], np.nan)
