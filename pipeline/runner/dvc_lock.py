"""What a killed `dvc` leaves behind: its entries in DVC's table of who reads and writes what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.core.errors import BusyError
from pipeline.core.processes import lives
from pipeline.core.publishing import exclusive, publish_file

_PATIENCE_SECONDS = 3.0


def release_dead(root: Path) -> None:
    """Takes the entries of processes that are gone out of `.dvc/tmp/rwlock`.

    DVC does so itself, except where the table was cut off in mid-write, and where nobody waits
    for the dead, as in many containers: their ids then seem to be in use for ever.
    The format is DVC's own (dvc/rwlock.py): `{"write": {path: {pid, cmd}}, "read": {path: [...]}}`.
    """
    table = root / ".dvc" / "tmp" / "rwlock"
    if not table.exists():
        return
    try:
        # The file by which DVC itself keeps two editors of the table apart.
        with exclusive(table.with_name("rwlock.lock"), "DVC's table of locks", _PATIENCE_SECONDS):
            before = table.read_text(encoding="utf-8")
            after = json.dumps(_living(before))
            if after != before:
                with publish_file(table) as aside:
                    aside.write_text(after, encoding="utf-8")
    except BusyError:
        return  # a living `dvc` edits it, and says so itself where it is in the way


def _living(content: str) -> dict[str, Any]:
    """The table without its dead; an empty one where it is damaged."""
    try:
        table = json.loads(content)
        writers = {path: one for path, one in table.get("write", {}).items() if lives(one["pid"])}
        readers = {
            path: living
            for path, each in table.get("read", {}).items()
            if (living := [one for one in each if lives(one["pid"])])
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"write": {}, "read": {}}
    return {"write": writers, "read": readers}
