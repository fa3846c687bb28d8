"""Programs with a voice: nothing they say is lost, however they end."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from pipeline.core.child import Child, listen
from pipeline.core.program import ERR, OUT, VOICE

SPEAKS = """
import os, signal, socket, sys
voice = socket.socket(fileno=int(sys.argv[1]))
"""


def child(program: str) -> Child:
    return Child([sys.executable, "-c", SPEAKS + program], os.environ)


def heard(*children: Child) -> list[tuple[int, str, str]]:
    """Everything they say until all have ended."""
    told = []
    deadline = time.monotonic() + 60
    while any(one.ended is None for one in children):
        assert time.monotonic() < deadline
        for one, stream, line in listen(children, 1.0):
            assert one.ended is None or stream  # what was said before the end comes before it
            told.append((children.index(one), stream, line))
    return told


@pytest.mark.parametrize(
    ("end", "code"),
    [("", 0), ("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
)
def test_all_that_was_said_is_heard_before_the_end(end: str, code: int) -> None:
    program = (
        "voice.sendall(b'one\\ntwo\\n')\n"
        "print('x' * 300_000, flush=True)\n"
        "sys.stderr.write('without an end'); sys.stderr.flush()\n"
        f"{end}"
    )
    one = child(program)
    told = [(stream, line) for _, stream, line in heard(one)]
    assert one.ended == code
    assert [line for stream, line in told if stream == VOICE] == ["one", "two"]
    assert [line for stream, line in told if stream == OUT] == ["x" * 300_000]
    assert [line for stream, line in told if stream == ERR] == ["without an end"]


def test_several_are_told_apart_and_answer() -> None:
    program = "print(voice.makefile().readline().strip() + '!')"
    children = [child(program) for _ in range(3)]
    for index, one in enumerate(children):
        one.say(f"hello {index}")
    expected = [(index, OUT, f"hello {index}!") for index in range(3)]
    assert sorted(heard(*children)) == expected
    children[0].say("to nobody")
    assert list(listen(children, 0.1)) == []


def test_one_that_waits_for_ever_is_ended_with_its_last_words() -> None:
    one = child("print('last', flush=True); voice.sendall(b'ready\\n'); signal.pause()")
    while not any(line == "ready" for _, _, line in listen([one], 1.0)):
        continue
    last = one.end()
    assert one.ended == -signal.SIGKILL
    assert last in ([], [(OUT, "last")])  # or heard above already
    assert one.end() == []


def test_one_whose_own_child_holds_the_pipes_ends_nevertheless() -> None:
    one = child(
        "import subprocess\n"
        "held = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(held.pid)"
    )
    ((_, _, pid),) = heard(one)
    os.kill(int(pid), signal.SIGKILL)  # it still runs
