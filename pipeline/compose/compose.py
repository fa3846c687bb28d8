"""The composed config of a project: configs/ and overrides in, one plain dict out.

Importing this module costs nothing; Hydra is imported when something is composed that was not
composed here before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.compose.memory import recall, remember
from pipeline.compose.validation import validate

__all__ = ["compose", "validate"]


def compose(root: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Composes the whole config of the project in `root`; reads configs/, changes nothing.

    Args:
        root: The project folder.
        overrides: Hydra overrides, e.g. `data=penguins`, `train.epochs=5`, `+experiment=wide`.

    Returns:
        The resolved config: nested dicts with text keys, lists and scalars.

    Raises:
        ConfigError: An override, a group, a key, an interpolation or a YAML file is wrong.
    """
    composed = recall(root, overrides)
    if composed is None:
        from pipeline.compose.composition import compose_with_hydra

        composed = remember(root, overrides, compose_with_hydra(root, overrides))
    return composed
