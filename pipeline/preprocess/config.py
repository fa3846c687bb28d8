"""What can be set about preparing the table: its columns, label, split and cleaning rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.features import FALSE_WORDS, TRUE_WORDS, CategoryEncoding, DatePart, Task
from pipeline.core.schema import config

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


@config
class NumericConfig:
    """A number. Order of work: range, clip, log, impute, scale; buckets cut the clipped number."""

    kind: Literal["numeric"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    range: Bounds | None = None
    """Possible values; what lies outside is a mistake (see `preprocess.out_of_range`)."""
    clip: Bounds | None = None
    """Real but extreme values are moved to these bounds, in raw units."""
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

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        _ordered("range", self.range)
        _ordered("clip", self.clip)
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
    max_size: int = Field(default=10_000, ge=0)
    """Known words at most, the most frequent ones; 0: every word is hashed."""
    hash_buckets: int = Field(default=0, ge=0)
    """Buckets that unknown words are hashed to; 0: one bucket for all of them."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width; 0: worked out from the number of words."""

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
    parts: tuple[DatePart, ...] = ("day_of_week", "hour")
    """Which parts become features; month and finer ones drift where the split is by time."""
    cyclic: bool = True
    """true: each part is a point on a circle (sin and cos); false: an index `COLUMN.PART`."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index of a part that is not cyclic."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width of a part that is not cyclic; 0: worked out from its values."""


ColumnConfig = Annotated[
    NumericConfig | CategoricalConfig | BooleanConfig | DatetimeConfig | IdConfig,
    Field(discriminator="kind"),
]
"""One raw column: what it is and how it becomes features."""


@config
class CrossConfig:
    """A combination of categorical features, each combination hashed to one of `buckets`."""

    of: tuple[str, ...] = Field(min_length=2)
    """Columns crossed: a categorical COLUMN, COLUMN.bucket of a number, or DATE.PART."""
    buckets: int = Field(default=1000, ge=2)
    """Upper bound of the number of combinations told apart."""
    encoding: CategoryEncoding = "embedding"
    """How models take the index."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width; 0: worked out from the number of combinations."""


@config
class LabelConfig:
    """What is predicted."""

    column: str = Field(min_length=1)
    """Raw column; declared in `columns` or not, it is never a feature."""
    task: Task
    """binary, multiclass or regression."""
    threshold: float | None = None
    """binary from a number: positive is a value greater than this; null: the column has classes."""
    classes: tuple[str, ...] = ()
    """Class names in order, for binary negative then positive; empty: sorted."""
    positive: str | None = None
    """binary: the positive class where `classes` is empty."""

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        if self.threshold is not None and self.task != "binary":
            raise ValueError("threshold only with task binary")
        if self.classes and self.task == "regression":
            raise ValueError("no classes with task regression")
        if self.task == "binary" and len(self.classes) not in {0, 2}:
            raise ValueError("two classes with task binary: negative, positive")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("each class once")
        if self.positive is not None and (self.task != "binary" or self.classes):
            raise ValueError("positive only with task binary and no classes")


@config
class TimeSplit:
    """Train before `validation_from`, test from `test_from` on, validation between."""

    kind: Literal["time"]
    """Discriminator."""
    column: str = Field(min_length=1)
    """Raw column of dates (or numbers, e.g. years); rows without it are dropped."""
    validation_from: str | float
    """First moment of the validation split: ISO 8601, or a number for a column of numbers."""
    test_from: str | float
    """First moment of the test split, later than `validation_from`."""

    def __post_init__(self) -> None:
        """Refuses bounds that leave no validation split."""
        first, second = self.validation_from, self.test_from
        if isinstance(first, str) != isinstance(second, str):
            raise ValueError("validation_from and test_from both dates, or both numbers")
        texts = isinstance(first, str)
        if (str(first) >= str(second)) if texts else (float(first) >= float(second)):
            raise ValueError("validation_from earlier than test_from")


@config
class HashSplit:
    """By a hash of a key: all rows of a key fall into one split, in every run and every table."""

    kind: Literal["hash"]
    """Discriminator."""
    columns: tuple[str, ...] = Field(min_length=1)
    """The key: raw columns; rows that miss all of them are dropped."""
    validation_fraction: float = Field(gt=0, lt=1)
    """Share of keys for validation, 0 to 1."""
    test_fraction: float = Field(gt=0, lt=1)
    """Share of keys for test, 0 to 1."""
    salt: str = ""
    """Any text; another salt gives another split."""

    def __post_init__(self) -> None:
        """Refuses fractions that leave nothing to train on."""
        _leaves_training(self.validation_fraction, self.test_fraction)


@config
class RandomSplit:
    """At random; equal rows stay together."""

    kind: Literal["random"]
    """Discriminator."""
    validation_fraction: float = Field(gt=0, lt=1)
    """Share of rows for validation, 0 to 1."""
    test_fraction: float = Field(gt=0, lt=1)
    """Share of rows for test, 0 to 1."""
    seed: int = Field(ge=0)
    """Seed of the shuffle."""
    stratify: bool = False
    """Whether each class (for regression: each decile of the label) is split by itself."""

    def __post_init__(self) -> None:
        """Refuses fractions that leave nothing to train on."""
        _leaves_training(self.validation_fraction, self.test_fraction)


SplitConfig = Annotated[TimeSplit | HashSplit | RandomSplit, Field(discriminator="kind")]
"""How rows are shared between train, validation and test."""


@config
class PreprocessConfig:
    """Cleaning rules and warnings, the same for every data set unless it says otherwise."""

    wrong_type: Literal["error", "missing", "drop"]
    """A value that is not of the column's kind: stop, make it missing, or drop the row."""
    out_of_range: Literal["error", "missing", "drop"]
    """A number outside the column's range: stop, make it missing, or drop the row."""
    duplicates: Literal["drop", "keep"]
    """Rows equal in every declared column, after the first."""
    missing_label: Literal["drop", "error"]
    """Rows without a label."""
    shown_rows: int = Field(ge=1, le=100)
    """Offending rows an error shows, at most."""
    constant_fraction: float = Field(gt=0.5, le=1)
    """A column whose commonest value has at least this share of training rows is dropped."""
    unique_fraction: float = Field(gt=0.5, le=1)
    """A column of words or whole numbers with at least this share of distinct values is dropped."""
    leakage: Literal["error", "warn"]
    """What happens when one column alone predicts the label almost perfectly."""
    leakage_score: float = Field(gt=0.5, le=1)
    """Almost perfectly: AUC of each class against the rest, for regression R2, at least this."""


@dataclass(frozen=True)
class PreprocessStageConfig:
    """The sections of params.yaml this stage reads."""

    columns: dict[str, ColumnConfig]
    crosses: dict[str, CrossConfig]
    label: LabelConfig
    split: SplitConfig
    preprocess: PreprocessConfig


def _ordered(name: str, bounds: Bounds | None) -> None:
    low, high = bounds or (None, None)
    if low is not None and high is not None and low >= high:
        raise ValueError(f"{name} as [low, high] with low below high")


def _leaves_training(validation_fraction: float, test_fraction: float) -> None:
    if validation_fraction + test_fraction >= 1:
        raise ValueError("validation_fraction + test_fraction below 1")
