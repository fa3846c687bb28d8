"""How soon a training that was killed takes its next step.

    python benchmarks/train_resume.py
    python benchmarks/train_resume.py --rows 20000 --rounds 1
    python benchmarks/train_resume.py --write           also writes docs/benchmarks.md

Stage `train` is started on made-up rows like flights, killed with SIGKILL after its first
checkpoint, and started again. Counted is the time from the start of the process to the end of the
first call that is not skipped, in which the graph is traced too; what `import tensorflow` takes in
a bare process of the same round is subtracted, 3 s are allowed for the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from document import table, write_section  # noqa: E402

ALLOWED_SECONDS = 3.0
MARKS = ("TensorFlow imported", "data encoded", "model built", "state restored", "first call")


def write_world(root: Path, rows: int) -> None:
    """What `preprocess` would leave: rows like flights, and their features."""
    import numpy as np
    import pandas as pd
    from train import WORDS, made_up

    from pipeline.core.artifacts import Artifacts
    from pipeline.core.features import Column
    from pipeline.core.records import LABEL

    features, examples = made_up(rows)
    numbers = features.dense_names
    columns = [Column(name=name, dtype="float64") for name in numbers]
    columns += [Column(name=name, dtype="string") for name in WORDS]
    artifacts = Artifacts(root)
    (root / "data" / "processed").mkdir(parents=True)
    artifacts.features.write(replace(features, columns=tuple(columns)))
    dense = pd.DataFrame(examples.encoded.dense.astype(np.float64), columns=numbers)
    for at, (name, size) in enumerate(WORDS.items()):
        words = np.array([f"{name}{number}" for number in range(size)])
        dense[name] = pd.Series(words[examples.encoded.indices[:, at]], dtype="str")
    dense[LABEL] = examples.labels[:, 0].astype("int64")
    artifacts.split("train").write(dense)
    artifacts.split("validation").write(dense.iloc[: rows // 5])


def stage_process(root: Path, started: float) -> None:
    """What a started process does: trains, and tells when the first steps are done."""
    from pipeline.core import runtime

    runtime.quiet_tensorflow()
    marks = {"TensorFlow imported": time.time() - started}

    from train import settings

    from pipeline.core.artifacts import Artifacts
    from pipeline.core.stage import Context
    from pipeline.core.tracking import Journal
    from pipeline.train import checkpoint, fitting, work

    config = settings("mlp")
    often = replace(config.train.checkpoint, every_steps=1)
    lasting = replace(config.train, epochs=1000, checkpoint=often, tensorboard=False)

    def mark(name: str, module: object, function: str) -> None:
        """Notes when a function of the stage has returned."""
        original = getattr(module, function)

        def marked(*given: object, **named: object) -> object:
            result = original(*given, **named)
            marks[name] = time.time() - started
            return result

        setattr(module, function, marked)

    mark("data encoded", work, "sources")
    mark("model built", fitting, "trainer_of")
    mark("state restored", checkpoint.Saver, "restore")

    @contextlib.contextmanager
    def show(description: str, total: float) -> Iterator[Callable[[float, str], None]]:
        """Tells of the first call; the benchmark ends the process."""
        del description, total
        ahead = iter(range(skipped_calls(root), -1, -1))

        def advance(steps: float, note: str = "") -> None:
            del steps, note
            if next(ahead, None) == 0:
                marks["first call"] = time.time() - started
                print(json.dumps(marks), flush=True)

        yield advance

    context = Context(root=root, journal=Journal(root / "journal.jsonl"))
    work.work(replace(config, train=lasting), Artifacts(root), context, show=show)


def skipped_calls(root: Path) -> int:
    """Calls of the running epoch that the last checkpoint holds already."""
    import numpy as np

    saved = sorted(root.rglob("step-*.npz"))
    if not saved:
        return 0
    with np.load(saved[-1], allow_pickle=False) as arrays:
        calls: int = json.loads(str(arrays["told"]))["calls"]
        return calls


def start(root: Path) -> subprocess.Popen[str]:
    """Starts the stage in a process of its own."""
    command = [sys.executable, __file__, "--root", str(root), "--started", str(time.time())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def first_marks(process: subprocess.Popen[str]) -> dict[str, float]:
    """What the process tells after its first call."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{"):
            marks: dict[str, float] = json.loads(line)
            return marks
    raise SystemExit("the stage ended before its first call")


def killed_after_checkpoint(root: Path) -> None:
    """Trains until a checkpoint is there, then kills."""
    with start(root) as process:
        while not list(root.rglob("step-*.npz")):
            if process.poll() is not None:
                raise SystemExit("the stage ended before its first checkpoint")
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)


def resumed(root: Path) -> dict[str, float]:
    """Starts again; seconds from the start to each mark."""
    with start(root) as process:
        marks = first_marks(process)
        process.send_signal(signal.SIGKILL)
    return marks


def bare_import() -> float:
    """Seconds of a process that imports TensorFlow and does one operation."""
    begun = time.perf_counter()
    code = "import tensorflow as tf; tf.constant(1.0) + 1.0"
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.root:
        stage_process(options.root, options.started)
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_world(root, options.rows)
        killed_after_checkpoint(root)
        bare, found = [], []
        for number in range(options.rounds):
            bare.append(bare_import())
            found.append(resumed(root))
            print(f"round {number}: import {bare[-1]:.2f} s, {found[-1]}")
    medians = {mark: statistics.median(marks[mark] for marks in found) for mark in MARKS}
    imported = statistics.median(bare)
    rest = statistics.median(m["first call"] - b for m, b in zip(found, bare, strict=True))
    lines = table(
        ["from the start of the process to", "seconds"],
        [[mark, f"{seconds:.2f}"] for mark, seconds in medians.items()],
    )
    later = (
        f"**the first call is done {rest:.2f} s later** (at most {ALLOWED_SECONDS:g} s is wanted)"
    )
    lines += ["", f"`import tensorflow` alone {imported:.2f} s; {later}."]
    print(*lines, sep="\n")
    if options.write:
        write_section("train_resume", "python benchmarks/train_resume.py", lines)


if __name__ == "__main__":
    main()
