"""What DVC cannot see: another key for personal data, another model behind a warm start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.errors import PipelineError
from pipeline.core.schema import flatten
from pipeline.core.warm_start import origin_now
from pipeline.ingest import STAGE as INGEST
from pipeline.ingest.privacy_keys import changed_keys


def changed_secrets(root: Path, params: Mapping[str, Any]) -> dict[str, list[str]]:
    """Stages that secrets of the environment make again, each with its reasons.

    `data/raw` that was hashed with one key and joined or served with another would match nothing.
    """
    try:
        recorded = Artifacts(root).source.read().pii_keys
    except PipelineError:  # nothing has been read yet
        return {}
    changed = changed_keys(INGEST.configure(params), recorded)
    reasons = [
        f"the key in {name} is another one than data/raw was hashed with" for name in changed
    ]
    return {INGEST.name: reasons} if reasons else {}


def tell_stale_warm_start(root: Path, params: Mapping[str, Any]) -> None:
    """Says so when `train.warm_start` would begin with another model than it did.

    The registry and files outside the project are no dependencies of the stage: a new champion
    must not throw away what was trained, least of all the champion itself.
    """
    source = flatten(params).get("train.warm_start")
    artifacts = Artifacts(root)
    try:
        before = artifacts.training.read().warm_start
    except PipelineError:  # nothing is trained yet
        return
    now = origin_now(source, root, artifacts.promotions) if source else None
    if before and now and before != now:
        say(f"train.warm_start={source} is {now} now; the trained model began with {before}")
        say("  to train it anew: dvc repro --force --single-item train, then pipeline run")
