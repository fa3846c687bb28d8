"""Overrides as people type them: read, checked against configs/, and put into Hydra's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from pipeline.compose.files import Groups
from pipeline.core.errors import ConfigError, nearest

_LAST = "debug"
"""Added groups win over those before them; a debug posture wins over an experiment."""
_FORMS = "group=option, key=value, +key=value for a new key, or ~key to leave one out"


@dataclass(frozen=True)
class Request:
    """Checked overrides.

    Attributes:
        groups: Choices of options, as Hydra wants them written.
        values: Changes of single keys, in the order given.
    """

    groups: tuple[str, ...]
    values: tuple[Override, ...]

    @property
    def lines(self) -> list[str]:
        """All overrides as Hydra wants them written."""
        return [*self.groups, *(str(value.input_line) for value in self.values)]


def read_request(overrides: Sequence[str], groups: Groups) -> Request:
    """Reads and checks what can be checked before composing.

    `experiment` and `debug` stand in no defaults list, so Hydra wants a `+` before them; here
    the plus may be there or not.

    Raises:
        ConfigError: An override is broken, sweeps, names an unknown option, or sets what is
            Hydra's own business.
    """
    chosen: list[str] = []
    added: dict[str, str] = {}
    values: list[Override] = []
    for line in overrides:
        override = _parsed(line, groups)
        group = override.key_or_group
        _refuse_foreign(override, line)
        if group not in groups.options or isinstance(override.value(), dict):
            values.append(override)
        elif override.is_delete() and group in groups.chosen:
            chosen.append(line)
        elif group in groups.chosen:
            chosen.append(f"{group}={_options(override, groups)}")
        elif override.is_delete() or override.value() is None:
            added.pop(group, None)
        else:
            added[group] = f"+{group}={_options(override, groups)}"
    last = sorted(added, key=lambda group: group == _LAST)
    return Request((*chosen, *(added[group] for group in last)), tuple(values))


def _parsed(line: str, groups: Groups) -> Override:
    try:
        return OverridesParser.create().parse_overrides([line])[0]
    except HydraException:
        pass
    raise ConfigError(
        f"the override {line!r} cannot be read", expected=_FORMS, remedy=_rewritten(line, groups)
    )


def _rewritten(line: str, groups: Groups) -> str:
    key, equals, value = line.partition("=")
    if key.startswith("-"):
        return "an override has no dashes before it: train.epochs=5"
    if equals:
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f"quote the value: '{key}=\"{quoted}\"'"
    near = nearest(line, groups.options)
    if near:
        return f"choose an option: {near[0]}=" + "|".join(groups.options[near[0]])
    holders = [group for group, options in groups.options.items() if line in options]
    return f"did you mean {holders[0]}={line}?" if holders else "write key=value"


def _refuse_foreign(override: Override, line: str) -> None:
    key, value = override.key_or_group, line.partition("=")[2]
    if override.is_sweep_override():
        single = f"write '{key}=[{value}]' for a list, '{key}=\"{value}\"' for text, or "
        raise ConfigError(
            f"the override '{line}' stands for several values",
            expected="one value",
            remedy=("" if "(" in value else single) + "try them one by one with `pipeline tune`",
        )
    if override.is_hydra_override():
        raise ConfigError(
            f"the override '{line}' sets how Hydra itself runs",
            expected="a key or group of configs/",
            remedy="leave it out: configs are composed here, Hydra runs nothing",
        )
    if override.package is not None:
        raise ConfigError(
            f"the override '{line}' puts a group into another place",
            expected=_FORMS,
            remedy=f"write {key}={value}",
        )


def _options(override: Override, groups: Groups) -> str:
    """The value as Hydra wants it written, after a look at the options there are."""
    group, value = override.key_or_group, override.value()
    names = value if isinstance(value, list) else [value]
    for name in names:
        shown = "null" if name is None else name
        require_option(group, shown, groups, f"the override '{override.input_line}'")
    return f"[{','.join(names)}]" if isinstance(value, list) else str(value)


def require_option(group: str, name: object, groups: Groups, where: str) -> None:
    """Raises a ConfigError that names the nearest options when `group` has no option `name`."""
    options = groups.options[group]
    if name in options:
        return
    near = nearest(str(name), options)
    raise ConfigError(
        f"{where} names '{name}', and configs/{group}/ has no such option",
        expected="one of " + ", ".join(options),
        remedy=_did_you_mean(f"{group}={option}" for option in near)
        or f"choose one of these, or write configs/{group}/{name}.yaml",
    )


def _did_you_mean(names: Iterable[str]) -> str:
    listed = " or ".join(names)
    return f"did you mean {listed}?" if listed else ""
