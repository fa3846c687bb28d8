"""Hydra's compose API: configs/ and overrides in, one plain dict out, its mistakes in our words.

This module, `request` and `diagnosis` are the only ones that import Hydra (0.4 s).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.compose.diagnosis import explain_defaults, explain_values, refuse_mistyped_groups
from pipeline.compose.files import PRIMARY, Groups, broken_yaml, read_groups
from pipeline.compose.naming import nearest_keys
from pipeline.compose.request import Request, read_request
from pipeline.core.artifacts import CONFIGS
from pipeline.core.errors import ConfigError
from pipeline.core.schema import flatten

_COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, ValueError, OSError, AssertionError)


def compose_with_hydra(root: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Composes the whole config of the project in `root`; see `compose.compose`.

    Raises:
        ConfigError: An override, a group, a key, an interpolation or a YAML file is wrong.
    """
    groups = read_groups(root)
    request = read_request(overrides, groups)
    try:
        composed = _composed(root, request.lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise broken_yaml(Path(mark.name if mark else root / CONFIGS), error) from None
    except _COMPOSE_ERRORS as error:
        failure = error
    else:
        refuse_mistyped_groups(request.values, groups)
        return _resolved(composed)
    raise _explained(root, request, groups, failure)


def chosen_options(root: Path, overrides: Sequence[str]) -> dict[str, str]:
    """Group to the option that a composition takes from it, whoever chose it.

    Args:
        root: The project folder.
        overrides: Such as `compose_with_hydra` takes without complaint.
    """
    lines = read_request(overrides, read_groups(root)).lines
    chosen = _composed(root, lines, with_hydra=True).hydra.runtime.choices
    return {
        str(group): str(option)
        for group, option in chosen.items()
        if not str(group).startswith("hydra/") and option is not None
    }


def _composed(root: Path, lines: list[str], *, with_hydra: bool = False) -> DictConfig:
    folder = str((root / CONFIGS).resolve())
    with initialize_config_dir(folder, version_base="1.3", job_name="compose"):
        composed: DictConfig = hydra_compose(
            PRIMARY, overrides=lines, return_hydra_config=with_hydra
        )
        return composed


def _plain(node: DictConfig, *, resolve: bool) -> dict[str, Any]:
    return cast("dict[str, Any]", OmegaConf.to_container(node, resolve=resolve))


def _explained(root: Path, request: Request, groups: Groups, failure: Exception) -> ConfigError:
    """Why Hydra refused, found by looking at what it was given rather than at its words."""
    try:
        plain = _plain(_composed(root, list(request.groups)), resolve=False)
    except _COMPOSE_ERRORS:
        reason = explain_defaults(root / CONFIGS, groups)
    else:
        reason = explain_values(request.values, plain, groups)
    return reason or ConfigError(
        f"configs/ cannot be composed: {str(failure).splitlines()[0]}",
        remedy="undo the last change in configs/ or leave the last override out",
    )


def _resolved(composed: DictConfig) -> dict[str, Any]:
    for key, node, name in _references(composed, ""):
        _require_resolvable(composed, key, node, name)
    for key in sorted(OmegaConf.missing_keys(composed)):
        raise ConfigError(
            f"config key '{key}' has no value yet (???)",
            expected="a value",
            remedy=f"set it where it stands in configs/, or pass {key}=VALUE",
        )
    return _plain(composed, resolve=True)


def _references(node: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Every key that refers to another: its dotted path, its holder and its name there."""
    names: list[Any] = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for name in names:
        if OmegaConf.is_interpolation(node, name):
            yield f"{prefix}{name}", node, name
        elif not OmegaConf.is_missing(node, name):
            child = node[name]
            if isinstance(child, DictConfig | ListConfig):
                yield from _references(child, f"{prefix}{name}.")


def _require_resolvable(composed: DictConfig, key: str, node: Any, name: Any) -> None:
    raw = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[index]
    if "oc.env" in raw:
        raise ConfigError(
            f"config key '{key}' takes its value from the environment: {raw}",
            expected="a value that may be written into params.yaml, which git tracks",
            remedy="write the value itself; for secrets name the variable where a key asks for it"
            " (source.url_env)",
        )
    try:
        node[name]
    except OmegaConfBaseException:
        pass
    else:
        return
    known = flatten(_plain(composed, resolve=False))
    near = nearest_keys(raw.partition("${")[2].partition("}")[0], known)
    raise ConfigError(
        f"config key '{key}' refers to {raw}, which cannot be resolved",
        expected="the dotted key of another value, e.g. ${data.name}",
        remedy=f"did you mean {' or '.join('${' + n + '}' for n in near)}?" if near else "",
    )
