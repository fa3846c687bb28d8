"""`dvc exp run -S`: what DVC composed a moment ago, together with the recorded overrides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def overlay(recorded: Any, plain: Any, asked: Any) -> Any:
    """A three-way merge: the recorded config with what `-S` changed laid over it.

    DVC composes configs/ with `-S` alone, so the difference between `asked` and `plain` is what
    `-S` did. A section that got or lost a key is taken as a whole, since its keys belong
    together: a model chosen by `-S model=mlp` is no mixture of two models.

    Args:
        recorded: configs/ composed with the recorded overrides.
        plain: configs/ composed without any.
        asked: params.yaml as DVC composed it with `-S`.
    """
    if asked == plain:
        return recorded
    sides = (plain, recorded, asked)
    if all(isinstance(side, Mapping) and side.keys() == plain.keys() for side in sides):
        return {key: overlay(recorded[key], plain[key], asked[key]) for key in plain}
    return asked
