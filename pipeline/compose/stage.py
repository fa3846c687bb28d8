"""The door of stage `compose`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.compose.compose import compose, validate
from pipeline.compose.experiment import overlay
from pipeline.compose.overrides import read_overrides
from pipeline.compose.params import changes, read_params, write_params
from pipeline.core.artifacts import PARAMS, Artifacts
from pipeline.core.console import say
from pipeline.core.stage import Context

__all__ = ["run", "write_params"]


def run(config: None, artifacts: Artifacts, context: Context) -> None:  # noqa: ARG001
    """Composes configs/ with the recorded overrides, checks every key, writes params.yaml.

    Raises:
        ConfigError: A file of configs/, a recorded override or an `-S` of `dvc exp run` is wrong.
    """
    overrides = read_overrides(context.root)
    params = compose(context.root, overrides)
    if context.experiment is not None:
        params = _with_experiment(context.root, params, overrides)
    validate(params, context.stages)
    write_params(context.root, params, overrides)
    context.journal.params({"overrides": " ".join(overrides) or "none"})
    context.journal.artifact(context.root / PARAMS)


def _with_experiment(root: Path, recorded: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    plain = compose(root) if overrides else recorded
    asked = read_params(root)
    for line in changes(plain, asked):
        say(f"compose: -S {line}")
    if overrides:
        say(f"compose: overrides.yaml applies as well: {' '.join(overrides)}")
    merged: dict[str, Any] = overlay(recorded, plain, asked)
    return merged
