"""What comparing two tables says, field by field."""

from __future__ import annotations

from typing import Literal

from pipeline.core.schema import config


@config
class ColumnDrift:
    """How the distribution of one column differs between two tables."""

    column: str
    """Raw column; for a part of a date COLUMN.PART."""
    kind: Literal["number", "category"]
    """number: cut into tenths of the reference; category: each of its commonest values."""
    jensen_shannon: float
    """Jensen-Shannon distance of the cells, base 2: 0 for equal, 1 for disjoint."""
    stability_index: float
    """Population stability index of the cells: 0.1 is a slight shift, 0.25 a large one."""
    test: Literal["kolmogorov_smirnov", "chi_squared"]
    """Of a number its two-sample Kolmogorov-Smirnov test, else the chi-squared test of counts."""
    statistic: float
    """Largest difference of the distribution functions, or Cramer's V of the counts; 0 to 1."""
    p_value: float
    """Probability of such a statistic without drift."""
    missing_fraction: tuple[float, float]
    """Share of rows without a value, reference and current."""
    missing_p_value: float
    """Chi-squared or Fisher's exact test of missing and present rows; 1 where none is missing."""
    new_fraction: float
    """Share of current rows whose category the reference never has (categories only)."""
    new_values: tuple[str, ...]
    """The commonest of them."""
    new_p_value: float
    """Probability of so many without drift, or less (categories only, otherwise 1)."""
    adjusted_p_value: float
    """The smallest of the three p values after Benjamini and Hochberg (1995) over all columns."""
    reasons: tuple[str, ...]
    """Which thresholds are exceeded; empty where the column has not drifted."""


@config
class JointDrift:
    """Whether a classifier can tell the two tables apart, all columns together."""

    auc: float
    """Area under its ROC curve on rows it was not fitted on; 0.5 where it cannot."""
    p_value: float
    """Probability of such an area without drift (Mann-Whitney, one-sided)."""
    rows: int
    """Rows of each table that took part."""
    drifted: bool
    """Whether the area is above its threshold and no accident."""


@config
class DriftReport:
    """One table against another."""

    reference: str
    """What is compared with, usually the training split."""
    current: str
    """What is looked at."""
    rows: tuple[int, int]
    """Rows of both, reference first."""
    columns: tuple[ColumnDrift, ...]
    """Each column, the drifted ones first."""
    joint: JointDrift | None
    """All columns together; None where it was not asked for or rows are too few."""
    drifted: bool
    """Whether more columns than allowed have drifted, or all together have."""
    note: str
    """Why nothing could be said, where rows are too few; otherwise empty."""

    @property
    def drifted_columns(self) -> tuple[ColumnDrift, ...]:
        """Those that have drifted."""
        return tuple(one for one in self.columns if one.reasons)
