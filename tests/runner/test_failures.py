"""What a command says when the machine, another run or a slip of the hand is in the way."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from pipeline.cli import run_command
from pipeline.compose.params import write_params
from pipeline.core.errors import BusyError
from pipeline.runner import plan, reproduce, ui
from pipeline.runner.execute import StageState, stage_state
from pipeline.runner.plan import StagePlan, Status
from pipeline.runner.summary import print_summary, tell_reasons


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full (run.lock)"),
        (errno.EROFS, "no permission for run.lock: Read-only file system"),
        (errno.EACCES, "no permission for run.lock: Permission denied"),
    ],
)
def test_a_command_says_what_the_machine_refuses(
    code: int,
    words: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(root: Path, overrides: list[str]) -> int:
        assert (root, overrides) == (project, [])
        raise OSError(code, os.strerror(code), "run.lock")

    monkeypatch.setattr(reproduce, "run", run)
    assert run_command(["run"]) == 1
    assert words in capsys.readouterr().err


def test_other_errors_of_the_system_keep_their_traceback(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(root: Path, overrides: list[str]) -> int:
        assert (root, overrides) == (project, [])
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(reproduce, "run", run)
    with pytest.raises(OSError, match="the disk is broken"):
        run_command(["run"])


def test_a_run_that_goes_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; sys.exit(\"ERROR: 'params.yaml' is busy, it is being blocked by:\\n"
        "  (PID 4711): dvc repro --quiet\\n\\nyou can manually remove '.dvc/tmp/rwlock'\")"
    )
    started = plan.subprocess.Popen
    monkeypatch.setattr(
        plan.subprocess,
        "Popen",
        lambda command, **settings: started([command[0], "-c", program], **settings),
    )
    with pytest.raises(BusyError, match=r"a run goes on in this project \(process 4711\)"):
        Status(tmp_path).read()


@pytest.mark.parametrize("ran", [False, True])
def test_a_reason_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: bool
) -> None:
    """At the beginning, and not again at the end; keys of params.yaml by the stages they run."""
    write_params(tmp_path, {"train": {"epochs": 1}, "old": 0}, [])
    plans = [StagePlan("train", ["train.epochs: 1 -> 2"])]
    plans += [StagePlan(name, ["it has never run here"]) for name in ("evaluate", "export")]
    begun = time.time()
    for one in plans if ran else []:
        state = StageState(
            stage=one.stage,
            run="r",
            state="done",
            started_at=begun + 1,
            seconds=2.5,
            peak_memory_bytes=0,
            exit_code=0,
            message="",
        )
        stage_state(tmp_path, one.stage).write(state)
    write_params(tmp_path, {"train": {"epochs": 2}, "new": 0}, [], told={"train.epochs"})
    tell_reasons(plans)
    print_summary(tmp_path, plans, 1.0, begun)
    out = capsys.readouterr().out
    assert out.count("train.epochs: 1 -> 2") == 1
    assert out.count("it has never run here") == 1
    assert "\nevaluate, export: it has never run here\n" in out
    assert all(line in out for line in ("compose: new: (none) -> 0", "compose: old: 0 -> (none)"))
    assert out.count("2.5") == (3 if ran else 0)


@pytest.mark.usefixtures("project")
def test_an_unknown_stage_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["stage", "trian"]) == 2
    assert capsys.readouterr().err.count("there is no stage 'trian'") == 1


def test_numbers_out_of_range_are_wrong_usage(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["ask", "--rows", "0"]) == 2
    assert "--rows is 0" in capsys.readouterr().err
    monkeypatch.setattr(ui, "read_params", lambda _: {"tracking": None})
    monkeypatch.setattr(ui, "build", lambda *_: type("Sqlite", (), {"kind": "sqlite"}))
    monkeypatch.setattr(ui, "check_store", lambda *_: f"sqlite:///{project}/mlflow.db")
    assert run_command(["ui", "--port", "99999"]) == 2
    assert "--port 99999 is no port" in capsys.readouterr().err


def test_what_an_interrupted_run_never_asked_for_is_not_cached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = [StagePlan("ingest"), StagePlan("train", ["epochs: 1 -> 2"]), StagePlan("evaluate")]
    for complete, words in ((False, "not reached"), (True, "came out the same")):
        print_summary(tmp_path, plans, 1.0, time.time(), complete=complete)
        ingest, train, _ = capsys.readouterr().out.splitlines()[1:4]
        assert "nothing it reads changed" in ingest
        assert words in train
