"""Who made which version the champion, when and why: an append-only file that git keeps.

MLflow itself remembers only who bears an alias now (mlflow issue 2169).
"""

from __future__ import annotations

import datetime
import getpass
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pipeline.core.errors import ConfigError
from pipeline.core.jsonl import append_line, read_lines
from pipeline.core.schema import build, config, dump

Action = Literal["registered", "promoted", "rolled_back", "found"]


@config
class Promotion:
    """One change of the champion."""

    id: str
    """Unique, so that no change is written down twice."""
    name: str
    """Registered model name."""
    action: Action
    """`registered`: the first version; `found`: somebody else had moved the alias."""
    from_version: int | None
    """Champion before; None for the first."""
    to_version: int
    """Champion since."""
    who: str
    """User of the operating system."""
    when: str
    """UTC, ISO 8601."""
    reason: str
    """As given; may be empty."""
    verdict: str
    """Verdict of the new champion."""
    model_hash: str
    """Hash of the new champion's features and weights."""


def new_promotion(
    name: str,
    action: Action,
    from_version: int | None,
    to_version: int,
    *,
    reason: str,
    verdict: str,
    model_hash: str,
) -> Promotion:
    """A change made now by this user."""
    now = datetime.datetime.now(datetime.UTC)
    return Promotion(
        id=uuid.uuid4().hex,
        name=name,
        action=action,
        from_version=from_version,
        to_version=to_version,
        who=user(),
        when=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        reason=reason,
        verdict=verdict,
        model_hash=model_hash,
    )


def append_promotion(path: Path, promotion: Promotion) -> None:
    """Writes a change down for good, unless it stands there already."""
    if all(known.id != promotion.id for known in read_promotions(path)):
        append_line(path, dump(promotion), durable=True)


def read_promotions(path: Path) -> list[Promotion]:
    """Every change, oldest first; a line that is no such record is left out."""
    promotions = []
    for line in read_lines(path)[0]:
        try:
            promotions.append(build(Promotion, line))
        except ConfigError:  # merged badly in git, or written by another version
            continue
    return promotions


def champions(promotions: Iterable[Promotion], name: str) -> list[int]:
    """The line of champions of a model: the last is the present one, before it the former ones.

    A rollback takes everything off the line that came after the version returned to.
    """
    line: list[int] = []
    for promotion in promotions:
        if promotion.name != name:
            continue
        if promotion.action == "rolled_back" and promotion.to_version in line:
            last = len(line) - 1 - line[::-1].index(promotion.to_version)
            del line[last + 1 :]
        elif line[-1:] != [promotion.to_version]:
            line.append(promotion.to_version)
    return line


def user() -> str:
    """Name of the operating system's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without a name
        return "unknown"
