"""Remembers compositions: the same configs/ and overrides always compose to the same dict.

`pipeline run` composes, DVC's stage `compose` composes the same a second later, and a run that
changes nothing composes what the last one did. A remembered composition saves the import of
Hydra and its work, 0.7 s each time. Environment variables cannot matter: they are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import CONFIGS, STATE
from pipeline.core.publishing import publish_file

_KEPT = 8
"""Compositions remembered; the oldest are forgotten."""


def recall(root: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    """What `configs/` and `overrides` composed to before; None where nobody composed them."""
    try:
        composed: dict[str, Any] = json.loads(_place(root, overrides).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return composed


def remember(root: Path, overrides: Sequence[str], composed: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps a composition and returns it as `recall` will, with text keys throughout."""
    text = json.dumps(composed)
    place = _place(root, overrides)
    with contextlib.suppress(OSError):  # a project that cannot be written to composes each time
        with publish_file(place) as aside:
            aside.write_text(text, encoding="utf-8")
        oldest_last = sorted(place.parent.glob("*.json"), key=lambda p: -p.stat().st_mtime_ns)
        for path in oldest_last[_KEPT:]:
            path.unlink(missing_ok=True)
    plain: dict[str, Any] = json.loads(text)
    return plain


def _place(root: Path, overrides: Sequence[str]) -> Path:
    """Where a composition is kept: named by a hash of all that it depends on."""
    digest = hashlib.sha256()
    for part in _ingredients(root, overrides):
        digest.update(len(part).to_bytes(8, "big") + part)
    return root / STATE / "compose" / f"{digest.hexdigest()}.json"


def _ingredients(root: Path, overrides: Sequence[str]) -> Iterable[bytes]:
    yield json.dumps([*overrides, version("hydra-core"), version("omegaconf")]).encode()
    for folder, pattern in ((Path(__file__).parent, "*.py"), (root / CONFIGS, "*.yaml")):
        for path in sorted(folder.rglob(pattern)):
            yield path.relative_to(folder).as_posix().encode()
            yield path.read_bytes()
