"""Which known key a mistyped dotted key most likely means."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.errors import nearest


def nearest_keys(key: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Returns up to `limit` of `known` that `key` may have meant, best first.

    The right name in the wrong section comes first (`train.learning_rate`), then a slip in the
    right section (`train.epcohs`), then whatever looks alike.
    """
    names = sorted(set(known) - {key, ""})
    section, _, leaf = key.rpartition(".")
    same = [name for name in names if name.rpartition(".")[2] == leaf]
    if 0 < len(same) <= limit:
        return same
    siblings = [name for name in names if name.rpartition(".")[0] == section]
    slips = nearest(leaf, [name.rpartition(".")[2] for name in siblings], limit)
    if slips:
        return [f"{section}.{slip}" if section else slip for slip in slips]
    return nearest(key, names, limit)
