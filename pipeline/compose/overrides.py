"""The recorded overrides: what `pipeline run` was asked for, where git and `compose` see it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.compose.files import dump_yaml, read_mapping
from pipeline.core.artifacts import OVERRIDES
from pipeline.core.errors import ConfigError
from pipeline.core.publishing import publish_file

_HEADER = """\
# Written by `pipeline run OVERRIDE ...`, read by stage `compose`: what `dvc repro` repeats.
# `pipeline run` without overrides empties the list.
"""


def record_overrides(root: Path, overrides: Sequence[str]) -> None:
    """Publishes `overrides`; the same list leaves the file as it is, so that DVC sees no change."""
    path = root / OVERRIDES
    text = _HEADER + dump_yaml({"overrides": list(overrides)}, width=10_000)
    if path.exists() and path.read_bytes() == text.encode():
        return
    with publish_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_overrides(root: Path) -> list[str]:
    """The recorded overrides; none where nothing was recorded.

    Raises:
        ConfigError: The file is damaged, or holds something else than a list of texts.
    """
    path = root / OVERRIDES
    if not path.exists():
        return []
    content = read_mapping(path)
    overrides: list[str] = content.get("overrides", [])
    texts = isinstance(overrides, list) and all(isinstance(line, str) for line in overrides)
    if not texts or set(content) - {"overrides"}:
        raise ConfigError(
            f"{OVERRIDES} holds {json.dumps(content, default=str, ensure_ascii=False)[:200]}",
            expected='a list of texts, e.g. overrides: ["data=penguins"]',
            remedy="pass the overrides to `pipeline run`, which writes this file",
        )
    return overrides
