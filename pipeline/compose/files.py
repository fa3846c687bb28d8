"""The files of configs/: which groups and options there are, and YAML that is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.artifacts import CONFIGS
from pipeline.core.errors import ConfigError

PRIMARY = "config"
"""Name of the file that lists the defaults."""


_LINE_BREAKS = frozenset("\x85\u2028\u2029")


@dataclass(frozen=True)
class Groups:
    """What can be chosen.

    Attributes:
        options: Group to its options, as in `model` to `dcn`, `mlp`.
        chosen: Groups that the defaults list of config.yaml fills; the others can be added.
    """

    options: Mapping[str, tuple[str, ...]]
    chosen: frozenset[str]


def read_groups(root: Path) -> Groups:
    """Looks through configs/.

    Raises:
        ConfigError: configs/config.yaml is missing or broken.
    """
    folder = root / CONFIGS
    primary = folder / f"{PRIMARY}.yaml"
    if not primary.is_file():
        raise ConfigError(
            f"{primary} does not exist",
            expected="the config that lists the defaults",
            remedy="restore configs/ (git checkout configs)",
        )
    options: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        if group != ".":
            options.setdefault(group, []).append(path.stem)
    chosen = frozenset(group for group, _ in defaults_of(primary))
    return Groups({group: tuple(names) for group, names in options.items()}, chosen)


def defaults_of(path: Path) -> list[tuple[str, object]]:
    """Group and option of each line in the defaults list of a config file.

    Raises:
        ConfigError: The file or its defaults list is broken.
    """
    lines = read_mapping(path).get("defaults", [])
    if not isinstance(lines, list):
        raise ConfigError(
            f"{path}: 'defaults' is no list",
            expected="lines like `- model: dcn` or `- override /model: dcn`",
        )
    return [
        (str(group).removeprefix("optional ").removeprefix("override ").strip("/ "), option)
        for line in lines
        if isinstance(line, Mapping)
        for group, option in line.items()
    ]


def read_mapping(path: Path) -> dict[str, Any]:
    """Reads a YAML file whose top level is a mapping; an empty file is an empty one.

    Raises:
        ConfigError: It is not; says the line.
    """
    try:
        content = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise broken_yaml(path, error) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds {type(content).__name__} at its top level",
            expected="a mapping, lines like `key: value`",
        )
    return content


def dump_yaml(content: Mapping[str, Any], width: float = 100) -> str:
    """A mapping as YAML in blocks, in its own order, that any YAML reader reads back the same."""
    text: str = yaml.dump(
        dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width
    )
    return text


class _Dumper(yaml.CSafeDumper):
    """Quotes text that holds Unicode line breaks, which libyaml would fold into blanks."""


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _LINE_BREAKS & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def broken_yaml(path: Path, error: yaml.YAMLError) -> ConfigError:
    """The error for a file that is no YAML, with its line."""
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return ConfigError(
        f"{where}: {problem}",
        expected="YAML: `key: value`, a blank after the colon, blanks (no tabs) to indent",
        remedy="correct that line",
    )
