"""The kinds of features: what each one holds, and the exact formula it stands for.

`core.encoding` computes them in pandas and NumPy, `core.encoder` in the TensorFlow graph; both
read the constants fitted here and give the same numbers.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.feature_kinds_geo import GeoCellFeature, GeoFeature
from pipeline.core.feature_kinds_label import TargetFeature
from pipeline.core.schema import config

CategoryEncoding = Literal["embedding", "one_hot"]
BagWeighting = Literal["binary", "count", "tf_idf"]
DatePart = Literal["month", "day", "day_of_week", "day_of_year", "hour", "minute"]

DENSE_LIMIT = 1e6
"""Dense numbers are held within plus and minus this, so that no served row overflows the core.

A standardised training value never comes near: among n rows none is farther than sqrt(n - 1)
standard deviations from the mean (Samuelson, "How Deviant Can You Be?", JASA 63, 1968).
"""

DATE_PART_PERIODS: dict[DatePart, tuple[int, int]] = {
    "month": (1, 12),
    "day": (1, 31),
    "day_of_week": (0, 7),
    "day_of_year": (1, 366),
    "hour": (0, 24),
    "minute": (0, 60),
}
"""First value and number of values of each part; Monday is day_of_week 0 (ISO 8601 less one)."""


@config
class NumericFeature:
    """A number: clip, log, impute, then scale to `dense`; or cut into buckets to `indices`.

    dense: `(f(clip(x, low, high)) - center) / scale`, f the identity or `sign(x) log(1 + |x|)`,
    held within plus and minus `DENSE_LIMIT`; a missing x gives `(impute - center) / scale`; with
    `indicator` a second dense column says 1 where x is missing, else 0. NaN, the infinities and
    numbers outside `least` to `most` are missing. All in float64, rounded to float32 at the end.

    indices (when `boundaries` is not empty): 0 for missing, else 1 + the number of boundaries
    that are less than or equal to x (as it came: no clip, no logarithm); cardinality
    `len(boundaries) + 2`.
    """

    kind: Literal["numeric"] = "numeric"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads, of dtype float64."""
    least: float | None = None
    """Smallest possible number, in raw units; a smaller one is a mistake and counts as missing."""
    most: float | None = None
    """Largest possible number, in raw units; a larger one is a mistake and counts as missing."""
    low: float | None = None
    """Lower clip bound, in raw units."""
    high: float | None = None
    """Upper clip bound, in raw units."""
    log: bool = False
    """Whether the signed logarithm is taken."""
    center: float = 0.0
    """Subtracted after the logarithm."""
    scale: float = Field(default=1.0, gt=0)
    """Divided by after centering."""
    impute: float = 0.0
    """Stands for a missing value, after the logarithm and before centering."""
    indicator: bool = False
    """Whether missingness is a dense column of its own."""
    boundaries: tuple[float, ...] = ()
    """Strictly increasing bucket boundaries; empty for a dense feature."""
    encoding: CategoryEncoding = "embedding"
    """How models take the bucket index."""
    dimension: int = Field(default=8, ge=1)
    """Embedding width of the bucket index."""


@config
class CategoricalFeature:
    """A word: index 0 for missing (''), 1 + i for vocabulary[i], then out-of-vocabulary buckets.

    A word outside the vocabulary falls into bucket `Fingerprint64(utf-8) mod oov_buckets`
    (FarmHash, the function of `tf.strings.to_hash_bucket_fast`). Cardinality
    `1 + len(vocabulary) + oov_buckets`.
    """

    kind: Literal["categorical"] = "categorical"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads, of dtype string."""
    vocabulary: tuple[str, ...]
    """Known words, most frequent first; empty for a purely hashed feature."""
    oov_buckets: int = Field(default=1, ge=1)
    """Buckets for unknown words."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index."""
    dimension: int = Field(default=8, ge=1)
    """Embedding width."""


@config
class BooleanFeature:
    """A truth value: dense 1 or 0 (0 where missing), with `indicator` a second dense column."""

    kind: Literal["boolean"] = "boolean"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads: dtype bool, or float64 (0 is false, NaN is missing, all else true)."""
    indicator: bool = False
    """Whether missingness is a dense column of its own."""


@config
class DatetimeFeature:
    """Calendar parts of a date: cyclic to `dense`, or one index each to `indices`.

    A date is `YYYY-MM-DD`, alone (midnight) or followed by `T` or a blank and `HH:MM`; what comes
    after the minutes (seconds, fraction, `Z`, offset) is not read: parts are those of the clock
    as written. Gregorian calendar, also before 1582. Anything else, and days that do not exist
    such as 30 February, count as missing.

    cyclic: dense sin and cos of `2 pi (part - first) / period` for each part, 0 and 0 where
    missing. Otherwise: index 0 for missing, else `1 + part - first`; cardinality `1 + period`.
    """

    kind: Literal["datetime"] = "datetime"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads, of dtype string, ISO 8601."""
    parts: tuple[DatePart, ...]
    """Which parts; see DATE_PART_PERIODS."""
    cyclic: bool = True
    """Whether parts become points on a circle."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index of a part that is not cyclic."""
    dimension: int = Field(default=4, ge=1)
    """Embedding width of a part that is not cyclic."""


@config
class HolidayFeature:
    """Whether a date is one of some days: dense 1 or 0; what is no date gives 0.

    Dates are read as in `DatetimeFeature`, by the clock as written.
    """

    kind: Literal["holiday"] = "holiday"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads, of dtype string, ISO 8601."""
    dates: tuple[str, ...] = Field(min_length=1)
    """The days: `YYYY-MM-DD`, or `MM-DD` for every year."""


@config
class BagFeature:
    """The words of a text, or the entries of a list, each a dense column of its own.

    A text (`separator` None) is cut at runs of ASCII blanks, punctuation and control characters
    after ASCII letters became lower case; other characters stay as they are. A list is cut at
    `separator`; ASCII blanks around an entry go. Empty words do not count.

    dense: column i is of `vocabulary[i]`; behind them `hash_buckets` columns, where a word that
    is not known counts in column `Fingerprint64(utf-8) mod hash_buckets`; without buckets it
    counts nowhere. A column holds, by `weighting`, 1 where the word occurs at all (binary), how
    often it occurs (count), or the count times `idf[i]`, divided by the Euclidean norm of the row
    where that is not 0 (tf_idf; Manning et al., "Introduction to Information Retrieval", 2008,
    chapter 6). A missing text has zeros.
    """

    kind: Literal["bag"] = "bag"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads, of dtype string."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """One ASCII character between the entries of a list; None: the words of a text."""
    vocabulary: tuple[str, ...]
    """Known words, those of most training rows first."""
    hash_buckets: int = Field(default=0, ge=0)
    """Columns that unknown words share; 0: they are left out."""
    weighting: BagWeighting
    """What a column holds."""
    idf: tuple[float, ...] = ()
    """Weight of each column, `ln((1 + rows) / (1 + rows with it)) + 1`; empty but for tf_idf."""

    @property
    def width(self) -> int:
        """Dense columns."""
        return len(self.vocabulary) + self.hash_buckets


@config
class CrossFeature:
    """A combination of index columns: mixed-radix number of the indices, modulo `buckets`.

    The exact arithmetic: `code = 0; for each i: code = code * cardinality_i + index_i` in int64;
    where the product of cardinalities is larger than `buckets`, `code` is first multiplied by
    the odd constant 0x9E3779B97F4A7C15 (Fibonacci hashing, Knuth TAOCP 6.4) with wrap-around and
    shifted right logically by 33 bits. Cardinality: the smaller of product and `buckets`.
    """

    kind: Literal["cross"] = "cross"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    of: tuple[str, ...] = Field(min_length=2)
    """Names of index columns (see `FeatureSet.index_columns`) that stand before this feature."""
    buckets: int = Field(ge=2)
    """Upper bound of the cardinality."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index."""
    dimension: int = Field(default=8, ge=1)
    """Embedding width."""


Feature = Annotated[
    NumericFeature
    | CategoricalFeature
    | BooleanFeature
    | DatetimeFeature
    | HolidayFeature
    | BagFeature
    | GeoFeature
    | GeoCellFeature
    | TargetFeature
    | CrossFeature,
    Field(discriminator="kind"),
]
