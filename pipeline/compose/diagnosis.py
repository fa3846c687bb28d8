"""Why a composition failed: each override and each defaults list held against what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from pipeline.compose.files import Groups, defaults_of
from pipeline.compose.naming import nearest_keys
from pipeline.compose.request import require_option
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.schema import flatten


def explain_values(
    values: Iterable[Override], plain: Mapping[str, Any], groups: Groups
) -> ConfigError | None:
    """The first override of a single key that does not fit the config, as an error.

    Args:
        values: Overrides of single keys, in order.
        plain: The config composed without them.
        groups: What can be chosen.
    """
    known = {*_dotted(plain), *groups.options}
    for override in values:
        key, line = override.key_or_group, str(override.input_line)
        if key in known:
            if override.is_add():
                return _already_there(line)
            if override.is_delete() and "=" in line:
                return _other_value(key, line)
        elif override.is_add() or override.is_force_add():
            known.add(key)
        else:
            return _unknown(key, line, known, groups)
    return None


def refuse_mistyped_groups(values: Iterable[Override], groups: Groups) -> None:
    """Raises a ConfigError for `+experimant=long`, which Hydra takes for a new key.

    Every section of the config is a group, so that no stage would read such a key.

    Args:
        values: Overrides of single keys, in order.
        groups: What can be chosen.
    """
    for override in values:
        section = override.key_or_group.partition(".")[0]
        added = override.is_add() or override.is_force_add()
        if added and section not in groups.options and nearest(section, groups.options):
            raise _unknown(section, str(override.input_line), groups.options, groups)


def _dotted(plain: Mapping[str, Any]) -> set[str]:
    """Dotted keys of the values and of the sections that hold them."""
    leaves = set(flatten(plain))
    sections = {
        leaf.rsplit(".", depth)[0] for leaf in leaves for depth in range(1, leaf.count(".") + 1)
    }
    return leaves | sections


def _other_value(key: str, line: str) -> ConfigError:
    return ConfigError(
        f"the override '{line}' leaves out a key that has another value",
        remedy=f"write ~{key}",
    )


def _already_there(line: str) -> ConfigError:
    return ConfigError(
        f"the override '{line}' adds a key that is there already",
        expected="a plus only before new keys",
        remedy=f"write {line.lstrip('+')}",
    )


def _unknown(key: str, line: str, known: Iterable[str], groups: Groups) -> ConfigError:
    near = nearest_keys(key, known)
    choices = [name for name in near if name in groups.options]
    named = f"'{line}'" if line == key else f"'{key}' (in the override '{line}')"
    # Groups that no defaults list names are written with a plus, as configs/config.yaml says.
    written = [
        f"+{name}" if name in choices and name not in groups.chosen else name for name in near
    ]
    remedy = (
        f"did you mean {' or '.join(written)}?" if near else "see configs/ for the keys there are"
    )
    for group in choices:
        remedy += f" ({group} is one of {', '.join(groups.options[group])})"
    return ConfigError(
        f"unknown config key {named}",
        expected="a key or group of configs/; +key=value for one that configs/ leaves out",
        remedy=remedy,
    )


def explain_defaults(configs: Path, groups: Groups) -> ConfigError | None:
    """The first defaults list in configs/ that names what does not exist, as an error."""
    try:
        for path in sorted(configs.rglob("*.yaml")):
            for group, option in defaults_of(path):
                _check_default(path, group.partition("@")[0], option, groups)
    except ConfigError as error:
        return error
    return None


def _check_default(path: Path, group: str, option: object, groups: Groups) -> None:
    if group not in groups.options:
        near = nearest(group, groups.options)
        raise ConfigError(
            f"the defaults list of {path} names the group '{group}', which does not exist",
            expected="one of " + ", ".join(groups.options),
            remedy=f"did you mean {' or '.join(near)}?" if near else "",
        )
    for name in option if isinstance(option, list) else [option]:
        if name is not None:
            require_option(group, name, groups, f"the defaults list of {path}")
