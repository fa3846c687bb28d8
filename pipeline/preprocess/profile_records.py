"""What the data profile says, field by field: the content of profile.json."""

from __future__ import annotations

from typing import Literal

from pipeline.core.features import Task
from pipeline.core.records import Split
from pipeline.core.schema import config
from pipeline.preprocess.drift_records import DriftReport

ColumnKind = Literal["number", "category", "truth", "date", "text"]
Measure = Literal[
    "auc", "pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"
]
FindingKind = Literal[
    "leakage",
    "copies",
    "imbalance",
    "constant",
    "cardinality",
    "missing",
    "drift",
    "unseen",
    "few_rows",
    "redundant",
]


@config
class CleaningStep:
    """What one cleaning rule did."""

    rule: str
    """Name of the rule."""
    rows: int
    """Rows it touched."""
    note: str = ""
    """What it did to them, for people."""


@config
class Association:
    """How much one column says about the label, on the training split."""

    measure: Measure
    """Which statistic; `profile_statistics` defines each."""
    value: float
    """The statistic on its own scale."""
    strength: float
    """The same from 0 (says nothing) to 1 (says everything)."""


@config
class Distribution:
    """Rows of each split by bar: a histogram, or the commonest values."""

    ordered: bool
    """True: bars are neighbours on an axis; False: bars are values, the commonest first."""
    names: tuple[str, ...]
    """What each bar stands for: a value, or the lower edge of a bin."""
    edges: tuple[float, ...]
    """`len(names) + 1` edges of a histogram with bins of equal width; otherwise empty. The first
    and last bin hold what lies beyond the edges too."""
    counts: dict[Split, tuple[int, ...]]
    """Rows in each bar."""
    classes: tuple[tuple[int, ...], ...]
    """Training rows of each class, bar by bar; empty for a regression label."""
    label_means: tuple[float | None, ...]
    """Mean label of the training rows of each bar (regression only); None for an empty bar."""


@config
class ColumnProfile:
    """One column."""

    name: str
    """Name in the table."""
    kind: ColumnKind
    """What its values are."""
    feature: bool
    """Whether the model sees it; False for ids and other kept columns."""
    distinct: int
    """Different values in the training split, missing not counted."""
    common_fraction: float
    """Share of training rows that have the commonest value (missing is a value here), 0 to 1."""
    missing_fraction: dict[Split, float]
    """Share of rows without a value, 0 to 1."""
    summary: dict[str, float]
    """min, quartiles, mean, standard deviation and max of a number or date (seconds since 1970);
    empty for the other kinds."""
    association: tuple[Association, ...]
    """With the label; the first one is the headline. Empty where it is not defined."""
    missing_strength: float | None
    """How much a missing value alone says about the label, 0 to 1; None where none is missing."""
    drift: dict[Split, float]
    """Population stability index against the training split."""
    drift_bound: dict[Split, float]
    """What the index must exceed before it means something, for this many rows and bins."""
    unseen_fraction: dict[Split, float]
    """Share of rows whose category never occurs in the training split (categories only)."""
    distribution: Distribution
    """The picture."""


@config
class Finding:
    """Something a person should look at."""

    kind: FindingKind
    """What it is about."""
    level: Literal["warning", "note"]
    """`warning`: likely to spoil the model or its figures; `note`: good to know."""
    column: str | None
    """The column; None for the whole table."""
    text: str
    """One or two sentences: what was found and what to do."""


@config
class Relation:
    """Two columns that go together, on the training split."""

    first: str
    """One column."""
    second: str
    """The other."""
    measure: Literal["spearman", "cramers_v"]
    """Of numbers the correlation of ranks, of words and truth values Cramer's V."""
    value: float
    """-1 to 1, or 0 to 1."""


@config
class MissingPattern:
    """Columns that miss their values in the same training rows, while all others have theirs."""

    columns: tuple[str, ...]
    """The columns."""
    fraction: float
    """Share of the training rows, 0 to 1."""


@config
class Profile:
    """The whole profile."""

    label: str
    """Raw column of the label."""
    task: Task
    """Kind of prediction."""
    classes: tuple[str, ...]
    """Class names by index; empty for regression."""
    rows: dict[Split, int]
    """Rows of each split that are described, evenly spaced; every figure is of them."""
    table_rows: dict[Split, int]
    """Rows of each split."""
    label_distribution: Distribution
    """The label itself."""
    findings: tuple[Finding, ...]
    """Warnings first."""
    cleaning: tuple[CleaningStep, ...]
    """Each cleaning rule, in the order it ran."""
    columns: tuple[ColumnProfile, ...]
    """Features in order, then kept columns."""
    relations: tuple[Relation, ...]
    """Pairs of features that go together, the closest first."""
    missing_patterns: tuple[MissingPattern, ...]
    """Combinations of missing features, the commonest first."""
    drift: tuple[DriftReport, ...]
    """Validation and test, each against the training split."""
