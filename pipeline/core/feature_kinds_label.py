"""What a word says about the label: target encoding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.core.schema import config


@config
class TargetFeature:
    """A word as the mean label of the training rows that have it, smoothed, in `dense`.

    With n rows of a word, s the sum of their labels and p the mean label of all training rows, a
    word's mean is `(s + smoothing * p) / (n + smoothing)` (Micci-Barreca, "A Preprocessing Scheme
    for High-Cardinality Categorical Attributes", SIGKDD Explorations 3, 2001, with the weight
    n / (n + smoothing)). The label is 1 or 0 (binary), the value (regression), or for several
    classes 1 or 0 for each class in a column of its own. A column is the mean less its center,
    divided by its scale. The missing word '' is a word like any other; unknown words take p.

    A training row's own label must not be in its value. So `preprocess` gives training rows
    values from the rows of the other folds alone and keeps them beside the table: see
    `encoding.encode_training`. Every other row gets the value of all training rows.
    """

    kind: Literal["target"] = "target"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    column: str
    """Raw column it reads, of dtype string."""
    outputs: tuple[str, ...] = ()
    """The classes, where each has a column of its own; empty for one column."""
    vocabulary: tuple[str, ...] = Field(min_length=1)
    """Known words, most frequent first."""
    values: tuple[tuple[float, ...], ...]
    """For each known word its dense values, one for each column."""
    unknown: tuple[float, ...]
    """The dense values of any other word."""
    smoothing: float = Field(ge=0)
    """How many rows the mean of all rows counts for."""
    folds: int = Field(ge=2)
    """Parts of the training split, each encoded by the others."""
    prior: tuple[float, ...]
    """Mean label of all training rows, one for each column."""
    centers: tuple[float, ...]
    """Subtracted from the means, one for each column."""
    scales: tuple[float, ...]
    """Divided by after centering, one for each column."""

    @property
    def dense_names(self) -> list[str]:
        """Names of its dense columns, in order."""
        return [f"{self.name}={one}" for one in self.outputs] or [self.name]
