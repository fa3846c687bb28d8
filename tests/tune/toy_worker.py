"""A search worker without TensorFlow: speaks the protocol of `pipeline.tune.workers`.

What a trial does stands in its params: `x` is squared to its value; `do` may be `fail`, `die`,
`meet` (waits for a second trial at the same time) or `hold` (the first such trial never ends).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    lines = connection.makefile("r", encoding="utf-8")

    def say(kind: str, value: object) -> None:
        connection.sendall(json.dumps({kind: value}).encode() + b"\n")

    if Path("refuse").exists():
        say("refused", "there is no table")
        return
    say("ready", {"metrics": ["val_loss", "val_accuracy"]})
    for line in lines:
        params = json.loads(line)["params"]
        act(params.get("do"))
        if params.get("do") == "fail":
            say("failed", "the toy broke\nin two lines")
        else:
            train(params["x"] ** 2, say, lines)


def act(do: str | None) -> None:
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "hold" and not Path("held").exists():
        Path("held").touch()
        signal.pause()
    if do == "meet":
        Path(f"met-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(Path.cwd().glob("met-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)


def train(value: float, say: Callable[[str, object], None], lines: TextIO) -> None:
    for epoch in range(4):
        say("epoch", {"epoch": epoch, "val_loss": value + 3 - epoch, "loss": 1.0})
        if not json.loads(lines.readline())["go_on"]:
            say("pruned", {})
            return
    say("done", {"kept": {"epoch": 3, "val_loss": value}, "epochs": 4, "seconds": 0.1})


if __name__ == "__main__":
    main()
