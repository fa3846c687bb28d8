"""params.yaml: what every stage reads. Written here only, with what changed told to people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.compose.files import dump_yaml, read_mapping
from pipeline.core.artifacts import PARAMS
from pipeline.core.console import say
from pipeline.core.errors import ConfigError
from pipeline.core.publishing import publish_file
from pipeline.core.schema import flatten

_HEADER = """\
# Composed from configs/ and overrides.yaml: do not edit, it is written again.
# Edit configs/, or pass overrides: pipeline run train.epochs=5
# overrides: {overrides}
# checksum: {checksum}
"""
_CHECKSUM = "# checksum: "
_MOST_CHANGES_SHOWN = 12
_ABSENT = object()


def read_params(root: Path) -> dict[str, Any]:
    """Reads params.yaml.

    Raises:
        ConfigError: It is missing or damaged; says how to get it back.
    """
    path = root / PARAMS
    if not path.exists():
        raise ConfigError(
            f"{path} does not exist",
            expected="the config that stage `compose` writes",
            remedy="run `pipeline run` (or `dvc repro compose`)",
        )
    try:
        return read_mapping(path)
    except ConfigError as error:
        raise ConfigError(
            error.came,
            expected="the YAML that stage `compose` writes",
            remedy="run `pipeline run` (or remove the file and run `dvc repro compose`)",
        ) from None


def write_params(
    root: Path,
    params: Mapping[str, Any],
    overrides: Sequence[str],
    told: Collection[str] = (),
) -> None:
    """Publishes params.yaml and prints every key that changed; equal content is left alone.

    Args:
        root: The project folder.
        params: The whole composed config.
        overrides: What it was composed with, for the header.
        told: Dotted keys whose change is printed elsewhere, and not here.
    """
    path = root / PARAMS
    text = _rendered(params, overrides)
    if path.exists():
        if path.read_bytes() == text.encode():
            return
        _tell(path, params, told)
    with publish_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line for each dotted key whose value differs: `key: old -> new`."""
    old, new = flatten(before), flatten(after)
    return [
        f"{key}: {_shown(old.get(key, _ABSENT))} -> {_shown(new.get(key, _ABSENT))}"
        for key in dict.fromkeys([*new, *old])
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


def _shown(value: object) -> str:
    return "(none)" if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)


def _rendered(params: Mapping[str, Any], overrides: Sequence[str]) -> str:
    body = dump_yaml(params)
    listed = json.dumps(list(overrides), ensure_ascii=False) if overrides else "none"
    return _HEADER.format(overrides=listed, checksum=_checksum(body)) + body


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _edited(text: str) -> bool:
    """Whether someone changed the file after `write_params`; DVC writes it without a checksum."""
    _, found, rest = text.partition(_CHECKSUM)
    checksum, _, body = rest.partition("\n")
    return bool(found) and checksum != _checksum(body)


def _tell(path: Path, params: Mapping[str, Any], told: Collection[str]) -> None:
    try:
        lines = changes(read_mapping(path), params)
    except ConfigError as error:
        say(f"compose: {error.came}; it is written again")
        return
    if lines and _edited(path.read_text(encoding="utf-8")):
        say(f"compose: {path.name} was edited by hand; these values are not kept (edit configs/):")
    else:
        lines = [line for line in lines if line.partition(": ")[0] not in told]
    for line in lines[:_MOST_CHANGES_SHOWN]:
        say(f"compose: {line}")
    if len(lines) > _MOST_CHANGES_SHOWN:
        say(f"compose: and {len(lines) - _MOST_CHANGES_SHOWN} more keys")
