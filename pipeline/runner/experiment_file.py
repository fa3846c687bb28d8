"""Writes what a search found as `configs/experiment/NAME.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.compose.composition import chosen_options, compose_with_hydra
from pipeline.compose.files import defaults_of, dump_yaml, read_groups
from pipeline.core.artifacts import CONFIGS
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.publishing import publish_file
from pipeline.core.schema import flatten

_MARK = "Found by `pipeline tune`"
_APART = ("tune", "tracking", "serve")
"""Sections that say nothing about the model: an experiment leaves them as they are."""


def experiment_path(root: Path, name: str) -> Path:
    """Where the experiment called `name` stands.

    Raises:
        ConfigError: A file stands there that no search wrote.
    """
    path = root / CONFIGS / "experiment" / f"{name}.yaml"
    if path.exists() and _MARK not in path.read_text(encoding="utf-8"):
        raise ConfigError(
            f"{path} was not written by `pipeline tune`, which would write it",
            remedy="choose another tune.name, or move that file away",
        )
    return path


def write_experiment(root: Path, name: str, overrides: Sequence[str], story: Iterable[str]) -> Path:
    """Writes the experiment that composes to what `overrides` compose to.

    It names the options of all groups that differ from the defaults, and every value that these
    options alone would not give, whoever set it.

    Args:
        root: The project.
        name: Of the experiment.
        overrides: Of the trial that it repeats.
        story: Lines for its header.

    Raises:
        PipelineError: It would compose to something else; nothing is written then.
    """
    wanted = compose_with_hydra(root, overrides)
    chosen = _named_options(root, chosen_options(root, overrides))
    plain = compose_with_hydra(root, [f"{group}={option}" for group, option in chosen.items()])
    lines = ["# @package _global_", "#", *(f"# {line}".rstrip() for line in story)]
    defaults: list[Any] = [{f"override /{group}": option} for group, option in chosen.items()]
    text = "\n".join(lines) + "\n\n" + dump_yaml({"defaults": defaults})
    values = _nested(_differing(plain, wanted))
    if values:
        text += "\n" + dump_yaml(values)
    path = experiment_path(root, name)
    before = path.read_bytes() if path.exists() else None
    with publish_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
    try:
        _require_same(root, name, wanted)
    except PipelineError:
        path.unlink() if before is None else path.write_bytes(before)
        raise
    return path


def found_by(study: str, best: str) -> str:
    """The line that marks such a file."""
    return f"{_MARK}: study {study}, {best}."


def _named_options(root: Path, chosen: Mapping[str, str]) -> dict[str, str]:
    """The data set, and every other choice that config.yaml would not make."""
    usual = dict(defaults_of(root / CONFIGS / "config.yaml"))
    groups = read_groups(root)
    return {
        group: option
        for group, option in chosen.items()
        if group in groups.chosen
        and group not in _APART
        and (group == "data" or usual.get(group) != option)
    }


def _differing(plain: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    before, now = _told(plain), _told(wanted)
    absent = object()
    return {key: value for key, value in now.items() if before.get(key, absent) != value}


def _told(params: Mapping[str, Any]) -> dict[str, Any]:
    return flatten({name: value for name, value in params.items() if name not in _APART})


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        here = tree
        for part in parents:
            here = here.setdefault(part, {})
        here[last] = value
    return tree


def _require_same(root: Path, name: str, wanted: Mapping[str, Any]) -> None:
    found = _told(compose_with_hydra(root, [f"experiment={name}"]))
    expected = _told(wanted)
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            raise PipelineError(
                f"an experiment cannot say what the best trial had for {key}:"
                f" {expected.get(key)!r}, composed {found.get(key)!r}",
                remedy="put what `pipeline tune` was given on the command line into a file of"
                " configs/ and search again",
            )
