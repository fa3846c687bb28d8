"""Locks that a killed `dvc` left behind do not stop the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.processes import lives
from pipeline.core.publishing import exclusive
from pipeline.runner.dvc_lock import release_dead


@pytest.fixture
def table(tmp_path: Path) -> Path:
    made = tmp_path / ".dvc" / "tmp" / "rwlock"
    made.parent.mkdir(parents=True)
    return made


@pytest.fixture
def unwaited() -> Iterator[int]:
    """A process that has ended and keeps its id, since nobody waits for it."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        process.stdout.read()  # closed by its end
        while lives(process.pid):
            pass
        assert Path("/proc", str(process.pid)).exists()
        yield process.pid


def entry(pid: int) -> dict[str, object]:
    return {"pid": pid, "cmd": "dvc repro"}


def test_entries_of_the_dead_go_and_those_of_the_living_stay(table: Path, unwaited: int) -> None:
    here = os.getpid()
    content = {
        "write": {"data/raw": entry(unwaited), "data/processed": entry(here)},
        "read": {"configs": [entry(unwaited), entry(here)], "params.yaml": [entry(unwaited)]},
    }
    table.write_text(json.dumps(content))
    release_dead(table.parents[2])
    assert json.loads(table.read_text()) == {
        "write": {"data/processed": entry(here)},
        "read": {"configs": [entry(here)]},
    }


@pytest.mark.parametrize("content", ["", '{"write": {"data', "[]", '{"write": {"a": 3}}'])
def test_a_table_cut_off_in_mid_write_is_emptied(table: Path, content: str) -> None:
    table.write_text(content)
    release_dead(table.parents[2])
    assert json.loads(table.read_text()) == {"write": {}, "read": {}}


def test_without_a_table_nothing_is_made(tmp_path: Path) -> None:
    release_dead(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_table_in_use_is_left_alone(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.runner.dvc_lock._PATIENCE_SECONDS", 0.1)
    table.write_text("")
    with exclusive(table.with_name("rwlock.lock"), "the table"):
        release_dead(table.parents[2])
    assert table.read_text() == ""
