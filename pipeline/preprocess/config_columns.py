"""What can be said of one raw column: its kind, its rules, and how it becomes features."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.features import FALSE_WORDS, TRUE_WORDS, BagWeighting, CategoryEncoding, DatePart
from pipeline.core.schema import config
from pipeline.preprocess.config_kinds import (
    LATITUDES,
    LONGITUDES,
    GroupConfig,
    LatitudeConfig,
    LongitudeConfig,
    TargetConfig,
    WeightConfig,
    require_days,
    require_format,
)

Bounds = tuple[float | None, float | None]
"""Lower and upper bound, both inclusive; null leaves a side open."""

Indicator = Literal["auto"] | bool
"""Whether missingness is a feature of its own; auto: where training rows miss values."""


@config
class IdConfig:
    """A column kept in the processed tables for slices, splits and tracing; never a feature."""

    kind: Literal["id"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    unique: bool = False
    """Whether the check stops where a value stands in two rows; missing values may repeat."""


@config
class NumericConfig:
    """A number. Order of work: range, clip, log, impute, scale; buckets cut the clipped number."""

    kind: Literal["numeric"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    range: Bounds | None = None
    """Possible values; what lies outside is a mistake (see `preprocess.out_of_range`)."""
    at_most: str | None = None
    """Another numeric column that this one never exceeds; the check stops where it does."""
    clip: Bounds | None = None
    """Real but extreme values are moved to these bounds, in raw units."""
    clip_quantiles: tuple[float, float] | None = None
    """The same at these quantiles of the training rows, 0 to 1, e.g. [0.01, 0.99]."""
    log: bool = False
    """Takes `sign(x) log(1 + |x|)`, for long-tailed numbers."""
    scaling: Literal["standard", "min_max", "none"] = "standard"
    """standard: mean 0, standard deviation 1; min_max: 0 to 1; none: as it is."""
    impute: Literal["median", "mean", "zero"] = "median"
    """What stands for a missing value, worked out on the training split."""
    indicator: Indicator = "auto"
    """Whether a second dense feature says 1 where the value is missing."""
    buckets: int = Field(default=0, ge=0, le=1000)
    """Quantile buckets of the extra feature `COLUMN.bucket`; 0: no such feature."""
    dense: bool = True
    """Whether the scaled number is a feature; false only with buckets."""
    encoding: CategoryEncoding = "embedding"
    """How models take the bucket."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width of the bucket; 0: worked out from the number of buckets."""
    additive: bool = False
    """Whether models add its effect by itself and never combine it with other columns."""

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        _ordered("range", self.range)
        _ordered("clip", self.clip)
        if self.clip_quantiles is not None:
            low, high = self.clip_quantiles
            if self.clip is not None or not 0 <= low < high <= 1:
                raise ValueError("clip_quantiles as [low, high] from 0 to 1, and no clip beside it")
        if not self.dense and not self.buckets:
            raise ValueError("buckets above 0 where dense is false, or the column is no feature")
        if self.buckets == 1:
            raise ValueError("buckets 0 or at least 2")


@config
class CategoricalConfig:
    """A word or a code: known words get an index each, the others share buckets."""

    kind: Literal["categorical"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    allowed: tuple[str, ...] = ()
    """The only possible words; empty: any. Another word stops the check."""
    min_count: int = Field(default=5, ge=1)
    """Training rows a word needs to be known."""
    min_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training rows with a word that it needs to be known; rarer ones are alike."""
    max_size: int = Field(default=10_000, ge=0)
    """Known words at most, the most frequent ones; 0: every word is hashed."""
    hash_buckets: int = Field(default=0, ge=0, le=1_000_000_000)
    """Buckets that unknown words are hashed to; 0: one bucket for all of them."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width; 0: worked out from the number of words."""
    additive: bool = False
    """Whether models add its effect by itself and never combine it with other columns."""

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        if self.max_size == 0 and self.hash_buckets == 0:
            raise ValueError("hash_buckets above 0 where max_size is 0, or all words are alike")


@config
class BooleanConfig:
    """A truth value: bool, 0 and 1, or one of the words below in any case."""

    kind: Literal["boolean"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    true_values: tuple[str, ...] = TRUE_WORDS
    """Words that mean true, lower case."""
    false_values: tuple[str, ...] = FALSE_WORDS
    """Words that mean false, lower case."""
    indicator: Indicator = "auto"
    """Whether a second dense feature says 1 where the value is missing."""
    additive: bool = False
    """Whether models add its effect by itself and never combine it with other columns."""

    def __post_init__(self) -> None:
        """Refuses words that could never match, or mean both."""
        words = (*self.true_values, *self.false_values)
        if any(word != word.strip().lower() for word in words):
            raise ValueError("true_values and false_values in lower case, without blanks around")
        if len(set(words)) != len(words):
            raise ValueError("each word once in true_values and false_values")


@config
class DatetimeConfig:
    """A date or a moment; its calendar parts become features."""

    kind: Literal["datetime"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    format: str | None = None
    """strptime format of odd text, e.g. "%d.%m.%Y"; null: ISO 8601. Served rows are ISO 8601."""
    at_most: str | None = None
    """Another datetime column that is never earlier; the check stops where it is."""
    parts: tuple[DatePart, ...] = ("day_of_week", "hour")
    """Which parts become features; month and finer ones drift where the split is by time."""
    cyclic: bool = True
    """true: each part is a point on a circle (sin and cos); false: an index `COLUMN.PART`."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index of a part that is not cyclic."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width of a part that is not cyclic; 0: worked out from its values."""
    additive: bool = False
    """Whether models add its effect by itself and never combine it with other columns."""
    holidays: tuple[str, ...] = ()
    """Days, YYYY-MM-DD or MM-DD for every year, on which the feature `COLUMN.holiday` is 1."""

    def __post_init__(self) -> None:
        """Refuses days that do not exist, no part or one twice, and what is no format."""
        require_days(self.holidays)
        if not self.parts or len(set(self.parts)) != len(self.parts):
            raise ValueError("parts with one part at least, and each once")
        if self.format is not None:
            require_format(self.format)


@config
class TextConfig:
    """Free text; each known word becomes a dense feature."""

    kind: Literal["text"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    min_count: int = Field(default=5, ge=1)
    """Training rows a word needs to be known."""
    max_size: int = Field(default=300, ge=0, le=10_000)
    """Known words at most, those of most rows; each is a dense feature; 0: every word is hashed."""
    hash_buckets: int = Field(default=0, ge=0, le=10_000)
    """Dense features that unknown words share by their hash; 0: they are left out."""
    weighting: BagWeighting = "tf_idf"
    """binary: whether a word occurs; count: how often; tf_idf: rare words weigh more."""

    def __post_init__(self) -> None:
        """Refuses a bag without columns."""
        _some_columns(self.max_size, self.hash_buckets)


@config
class ListConfig:
    """Several words in one value, e.g. "news;sport"; each known word becomes a dense feature."""

    kind: Literal["list"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    separator: str = Field(default=";", pattern=r"^[!-/:-@\[-`{-~]$")
    """What stands between the words: one ASCII character that is no letter, digit or blank."""
    min_count: int = Field(default=5, ge=1)
    """Training rows a word needs to be known."""
    max_size: int = Field(default=300, ge=0, le=10_000)
    """Known words at most, those of most rows; each is a dense feature; 0: every word is hashed."""
    hash_buckets: int = Field(default=0, ge=0, le=10_000)
    """Dense features that unknown words share by their hash; 0: they are left out."""
    weighting: BagWeighting = "binary"
    """binary: whether a word occurs; count: how often; tf_idf: rare words weigh more."""

    def __post_init__(self) -> None:
        """Refuses a bag without columns."""
        _some_columns(self.max_size, self.hash_buckets)


ColumnConfig = Annotated[
    NumericConfig
    | CategoricalConfig
    | BooleanConfig
    | DatetimeConfig
    | TextConfig
    | ListConfig
    | LatitudeConfig
    | LongitudeConfig
    | TargetConfig
    | IdConfig
    | GroupConfig
    | WeightConfig,
    Field(discriminator="kind"),
]
"""One raw column: what it is and how it becomes features."""


def is_feature(how: ColumnConfig) -> bool:
    """Whether the model sees the column; the others are kept beside the features."""
    return not isinstance(how, IdConfig | GroupConfig | WeightConfig)


def possible_range(how: ColumnConfig | None) -> Bounds | None:
    """Where the numbers of a column can lie; what lies outside is a mistake."""
    match how:
        case NumericConfig():
            return how.range
        case LatitudeConfig():
            return LATITUDES
        case LongitudeConfig():
            return LONGITUDES
    return None


@config
class CrossConfig:
    """A combination of categorical features, each combination hashed to one of `buckets`."""

    of: tuple[str, ...] = Field(min_length=2)
    """Columns crossed: a categorical COLUMN, COLUMN.bucket, COLUMN.cell, or DATE.PART."""
    buckets: int = Field(default=1000, ge=2)
    """Upper bound of the number of combinations told apart."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width; 0: worked out from the number of combinations."""


def _ordered(name: str, bounds: Bounds | None) -> None:
    low, high = bounds or (None, None)
    if any(one is not None and not math.isfinite(one) for one in (low, high)):
        raise ValueError(f"{name} as finite numbers; null leaves a side open")
    if low is not None and high is not None and low >= high:
        raise ValueError(f"{name} as [low, high] with low below high")


def _some_columns(max_size: int, hash_buckets: int) -> None:
    if max_size == 0 and hash_buckets == 0:
        raise ValueError("hash_buckets above 0 where max_size is 0, or there is no feature")
