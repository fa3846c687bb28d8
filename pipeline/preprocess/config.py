"""What can be set about preparing the table: its columns, label, split and cleaning rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.errors import ConfigError
from pipeline.core.features import Task
from pipeline.core.schema import config
from pipeline.preprocess.config_columns import (
    BooleanConfig,
    Bounds,
    CategoricalConfig,
    ColumnConfig,
    CrossConfig,
    DatetimeConfig,
    IdConfig,
    Indicator,
    ListConfig,
    NumericConfig,
    TextConfig,
    is_feature,
    possible_range,
)
from pipeline.preprocess.config_kinds import (
    GroupConfig,
    LatitudeConfig,
    LongitudeConfig,
    TargetConfig,
    WeightConfig,
)
from pipeline.preprocess.config_together import (
    only,
    require_crossed,
    require_free_names,
    require_label_apart,
    require_one_each,
    require_places,
    require_relations,
)

__all__ = [
    "BooleanConfig",
    "Bounds",
    "CategoricalConfig",
    "ColumnConfig",
    "ContractConfig",
    "CrossConfig",
    "DaskConfig",
    "DatetimeConfig",
    "DriftConfig",
    "Engine",
    "GroupConfig",
    "HashSplit",
    "IdConfig",
    "Indicator",
    "LabelConfig",
    "LatitudeConfig",
    "ListConfig",
    "LongitudeConfig",
    "NumericConfig",
    "PreprocessConfig",
    "PreprocessStageConfig",
    "RandomSplit",
    "SplitConfig",
    "StreamConfig",
    "TargetConfig",
    "TextConfig",
    "TimeSplit",
    "WeightConfig",
    "is_feature",
    "possible_range",
]


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
class ContractConfig:
    """When `pipeline data check` warns that new rows are unlike those of training."""

    missing_increase: float = Field(ge=0, le=1)
    """A warning when the share of missing values is greater than in training by more than this."""
    new_words_fraction: float = Field(ge=0, le=1)
    """A warning when more than this share of rows holds words that training never saw."""
    beyond_fraction: float = Field(ge=0, le=1)
    """A warning when more than this share of rows lies beyond the numbers that training saw."""
    duplicates_fraction: float = Field(ge=0, le=1)
    """A warning when more than this share of rows equals an earlier row in every column."""


@config
class DriftConfig:
    """When a column, or a table, counts as drifted: significantly, and by more than a trifle."""

    max_rows: int = Field(ge=100)
    """Rows of each side that are compared, evenly spaced; more cost time and decide nothing."""
    minimum_rows: int = Field(ge=10)
    """With fewer rows on either side nothing is said."""
    false_discovery_rate: float = Field(gt=0, lt=1)
    """Share of false alarms that is accepted among the alarms (Benjamini-Hochberg)."""
    jensen_shannon: float = Field(ge=0, le=1)
    """Jensen-Shannon distance (base 2) from which a significant difference matters."""
    stability_index: float = Field(ge=0)
    """Population stability index from which it matters; 0.1 is slight, 0.25 large."""
    kolmogorov_smirnov: float = Field(ge=0, le=1)
    """Difference of a number's distribution functions from which it matters."""
    missing_difference: float = Field(ge=0, le=1)
    """Difference of the shares of missing values from which it matters."""
    new_fraction: float = Field(ge=0, le=1)
    """Share of rows with categories that the reference never has from which it matters."""
    classifier_auc: float = Field(ge=0.5, le=1)
    """Area under the ROC curve of the classifier that tells the tables apart, likewise."""
    drifted_fraction: float = Field(ge=0, le=1)
    """`pipeline data drift` ends with 1 when more than this share of columns has drifted."""


@config
class StreamConfig:
    """The stream engine: parts of the table instead of the whole."""

    above_rows: int = Field(ge=0)
    """`engine: auto` takes it for tables of more rows than this."""
    part_rows: int = Field(ge=1)
    """Rows of the raw table that a worker takes at a time, rounded up to whole row groups; what is
    added up may depend on it in the last digit, on the number of workers never."""
    batch_rows: int = Field(ge=1)
    """Rows of a part that are in memory at a time."""


@config
class DaskConfig:
    """The Dask engine: the same work on the parts of the table, on other machines too."""

    address: str
    """Scheduler, tcp://HOST:PORT, whose workers see the project folder under the same path; empty:
    a cluster of `preprocess.processes` workers on this machine, as long as the stage runs."""
    above_rows: int = Field(ge=0)
    """With more rows than this `engine: auto` says that several machines would help."""

    def __post_init__(self) -> None:
        """Refuses an address without a protocol."""
        if self.address and "://" not in self.address:
            raise ValueError("address as tcp://HOST:PORT, or empty")


Engine = Literal["auto", "pandas", "stream", "dask"]


@config
class PreprocessConfig:
    """Cleaning rules and warnings, the same for every data set unless it says otherwise."""

    engine: Engine
    """pandas: the whole table in memory; stream: in parts, by several processes, with the same
    result; dask: the same on a Dask cluster; auto: pandas or stream by size."""
    processes: int = Field(ge=0)
    """Processes of `stream`, workers of a local Dask cluster; 0: the cores this process may use."""
    stream: StreamConfig
    """How the stream engine works, and when it is taken."""
    dask: DaskConfig
    """How the Dask engine works."""
    sample_rows: int = Field(ge=1000)
    """Rows, evenly spaced, in which leaks and drift are looked for and which the profile describes;
    all of a smaller table."""
    profile: bool
    """Whether the profile is written, profile.html and profile.json; cleaning.json always is."""
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
    contract: ContractConfig
    """When `pipeline data check` warns."""
    drift: DriftConfig
    """When the profile and `pipeline data drift` speak of drift."""


def require_group_split(group: str | None, split: SplitConfig) -> None:
    """Raises a ConfigError where the split cannot keep the rows of a group together."""
    if group is None or (isinstance(split, RandomSplit) and not split.stratify):
        return
    if isinstance(split, RandomSplit):
        raise ConfigError(
            f"data.split is stratified, and '{group}' is of kind group",
            expected="one of the two: rows of one group may be of several classes",
            remedy=f"set data.split.stratify=false, or declare '{group}' as id",
        )
    if isinstance(split, HashSplit) and split.columns == (group,):
        return
    raise ConfigError(
        f"data.split is of kind {split.kind} and would part rows of one '{group}' (kind group)",
        expected=f"a random split, or a hash split with columns: [{group}]",
        remedy=f"change data.split, or declare '{group}' as id",
    )


@dataclass(frozen=True)
class PreprocessStageConfig:
    """The sections of params.yaml this stage reads."""

    columns: dict[str, ColumnConfig]
    crosses: dict[str, CrossConfig]
    label: LabelConfig
    split: SplitConfig
    preprocess: PreprocessConfig

    def __post_init__(self) -> None:
        """Refuses columns that do not go together."""
        require_free_names(self.columns)
        require_one_each(self.columns)
        require_label_apart(self.columns, self.label.column)
        features = {name: how for name, how in self.columns.items() if name != self.label.column}
        require_places(features)
        require_relations(features)
        require_crossed(self.crosses, features)
        require_group_split(self.group, self.split)

    @property
    def group(self) -> str | None:
        """The column whose values keep rows together, if there is one."""
        return only(GroupConfig, self.columns)

    @property
    def weight(self) -> str | None:
        """The column that says how much a row counts, if there is one."""
        return only(WeightConfig, self.columns)


def _leaves_training(validation_fraction: float, test_fraction: float) -> None:
    if validation_fraction + test_fraction >= 1:
        raise ValueError("validation_fraction + test_fraction below 1")
