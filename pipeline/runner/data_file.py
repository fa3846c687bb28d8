"""configs/data/NAME.yaml as a file: read and written with its comments, never left broken."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pipeline.compose.compose import compose, validate
from pipeline.core.artifacts import CONFIGS
from pipeline.core.errors import PipelineError
from pipeline.core.publishing import publish_file
from pipeline.runner.init_yaml import scalar
from pipeline.runner.stages import CONFIGURED


def data_file(root: Path, name: str) -> Path:
    """Where the data set `name` is described."""
    return root / CONFIGS / "data" / f"{name}.yaml"


def publish_data_file(target: Path, text: str, root: Path, name: str) -> None:
    """Writes the config and proves that it composes; what does not is taken back.

    Raises:
        ConfigError: It does not compose; the file is as it was.
    """
    before = target.read_text(encoding="utf-8") if target.exists() else None
    _write(target, text)
    try:
        validate(compose(root, [f"data={name}"]), CONFIGURED)
    except PipelineError:
        if before is None:
            target.unlink()
        else:
            _write(target, before)
        raise


def _write(target: Path, text: str) -> None:
    with publish_file(target) as aside:
        aside.write_text(text, encoding="utf-8")


def load(text: str) -> CommentedMap:
    """Parses YAML and remembers comments, quotes and blank lines."""
    loaded: CommentedMap = _yaml().load(text)
    return loaded


def render(document: CommentedMap) -> str:
    """The text again; what was not changed stays as it was, letter by letter."""
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def plain(value: object) -> Any:
    """A value in flow style, words quoted where YAML 1.1 or OmegaConf would misread them."""
    if isinstance(value, Mapping):
        entry = CommentedMap({key: plain(one) for key, one in value.items()})
        entry.fa.set_flow_style()
        return entry
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = CommentedSeq([plain(one) for one in value])
        listed.fa.set_flow_style()
        return listed
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and scalar(value) != value:
        escaped = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
        return DoubleQuotedScalarString(escaped)
    return value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10**9
    return yaml
