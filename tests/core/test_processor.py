"""NumPy's sort on processors whose AVX-512 is slow at it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core import processor

VARIABLE = "NPY_DISABLE_CPU_FEATURES"
CORE = """\
processor\t: 0
vendor_id\t: {}
cpu family\t: {}
flags\t\t: fpu {}

"""
ZEN4 = ("AuthenticAMD", "25", "avx2 avx512f avx512vl")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is set is put back."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)


def pretend(content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "cpuinfo"
    path.write_text(content, encoding="utf-8")
    monkeypatch.setattr(processor, "_CPUINFO", path)


@pytest.mark.parametrize(
    ("core", "slow"),
    [
        (ZEN4, True),
        (("AuthenticAMD", "25", "avx2"), False),
        (("AuthenticAMD", "26", "avx2 avx512f"), False),
        (("GenuineIntel", "6", "avx2 avx512f"), False),
    ],
    ids=["Zen 4", "Zen 3", "Zen 5", "Intel"],
)
def test_which_processors_sort_without_avx512(
    core: tuple[str, ...], slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(2 * CORE.format(*core), tmp_path, monkeypatch)
    processor.sort_fast()
    assert (VARIABLE in os.environ) == slow


@pytest.mark.parametrize("content", ["", "\n", "Processor\t: ARMv8\n", "a line\n"])
def test_other_processors_are_left_alone(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(content, tmp_path, monkeypatch)
    processor.sort_fast()
    assert VARIABLE not in os.environ


def test_so_are_systems_that_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    processor.sort_fast()
    assert VARIABLE not in os.environ


def test_what_a_user_set_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(CORE.format(*ZEN4), tmp_path, monkeypatch)
    monkeypatch.setenv(VARIABLE, "AVX512_SPR")
    processor.sort_fast()
    assert os.environ[VARIABLE] == "AVX512_SPR"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors, other features")
def test_numpy_knows_what_it_is_told_to_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(CORE.format(*ZEN4), tmp_path, monkeypatch)
    processor.sort_fast()
    command = [sys.executable, "-W", "error", "-c", "import numpy; print(numpy.sort([2, 1]))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("[1 2]\n", "", 0)


def test_the_command_does_so_before_anything_else() -> None:
    code = (
        "import os, sys; from pipeline.__main__ import main; sys.argv = ['pipeline', '--version']\n"
        "try: main()\n"
        f"except SystemExit: print(os.environ.get('{VARIABLE}', ''), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = processor._SORT_FEATURES if processor._is_zen4() else ""
    assert done.stdout.splitlines()[-1] == f"{expected} False"
