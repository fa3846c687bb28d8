"""A reader never sees half a file, whoever is killed when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.core.errors import BusyError
from pipeline.core.publishing import exclusive, publish_file, publish_folder


def test_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with publish_file(target) as aside:
        aside.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


def test_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), publish_file(target) as aside:
        aside.write_text("new")
        raise RuntimeError("stop")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for content in ("old", "new"):
        with publish_folder(target) as aside:
            (aside / "sub").mkdir()
            (aside / "sub" / content).write_text(content)
    assert [path.name for path in target.rglob("*")] == ["sub", "new"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError, match="stop"), publish_folder(target) as aside:
        (aside / "new").touch()
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


WRITER = """
import sys, time
from pathlib import Path
from pipeline.core.publishing import publish_{kind}
with publish_{kind}(Path(sys.argv[1])) as aside:
    (aside if "{kind}" == "file" else aside / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_killed_writer_leaves_nothing_that_a_reader_sees(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(kind=kind), str(target)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not target.exists()
    with publish_file(target) as aside:
        aside.write_text("whole")
    assert list(tmp_path.iterdir()) == [target], "the next writer clears the leftovers"


def test_a_living_writer_keeps_its_own(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with publish_file(target) as mine:
        mine.write_text("mine")
        with publish_file(target) as other:
            other.write_text("other")
        assert mine.exists()
    assert target.read_text() == "mine"


def test_lock_names_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        exclusive(lock, "the thing"),
        pytest.raises(BusyError, match=f"the thing is in use by process {os.getpid()}"),
        exclusive(lock, "the thing"),
    ):
        pass
    with exclusive(lock, "the thing"):
        assert lock.read_text() == str(os.getpid())


def test_lock_waits_for_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive(lock, "it"):
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    threading.Timer(0.2, release.set).start()
    with exclusive(lock, "it", wait_seconds=10):
        assert release.is_set()
    holder.join()
