"""What workers, input from disk and checkpoints cost stage `train`, as ratios within one run.

    python benchmarks/train_scale.py                     on made-up rows
    python benchmarks/train_scale.py --rows 20000 --rounds 1 --cases mlp:512
    python benchmarks/train_scale.py --write             also writes docs/benchmarks.md

Every side is a process of its own, pinned to one core with one thread, that trains four epochs and
tells the examples per second of its median epoch after the first, over all workers. Sides:

- `plain`: one process, the batch of one worker;
- `two apart`: two of those at the same time, each on its own core, that know nothing of each other:
  what the machine has to give to two workers, since cores share caches, memory and clock;
- `one worker`: `plain` through `MultiWorkerMirroredStrategy`, alone;
- `two workers`: two processes, each with the batch of one, each on its own core;
- `both cores`: one process with two threads and the batch of both workers;
- `from disk`: `plain`, with the rows in a file mapped into memory;
- `checkpoint`: seconds to write one, and the share of the time at the default interval.

Rows are made up: like flights, or for `small_cnn` images of 28 by 28 pixels, with the model builder
that stands beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from document import table, write_section  # noqa: E402

CASES = ["mlp:512", "mlp:4096", "dcn:512", "small_cnn:256"]
SIDES = ("plain", "two apart", "one worker", "two workers", "both cores", "from disk")
PROCESSES = {"two apart": 2, "one worker": 1, "two workers": 2}
"""Those that meet before they start; the other sides are one process."""


def run_side(side: str, model: str, batch: int, rows: int) -> list[dict[str, float]]:
    """Starts the processes of a side; returns what each told."""
    from pipeline.train.cluster import Cluster
    from pipeline.train.placement import free_addresses

    workers = PROCESSES.get(side, 0)
    addresses = free_addresses(workers)
    started = []
    for index in range(max(workers, 1)):
        threads = "2" if side == "both cores" else "1"
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        if workers:
            environment["TF_CONFIG"] = Cluster(addresses, index).as_tf_config()
        command = [sys.executable, __file__, "--side", side, "--cases", f"{model}:{batch}"]
        command += ["--rows", str(rows), "--core", str(index)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
    told = [process.communicate()[0] for process in started]
    return [json.loads(text.splitlines()[-1]) for text in told]


def side_process(side: str, model: str, batch: int, rows: int, core: int) -> dict[str, float]:
    """What a started process does: trains, and returns what it measured."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:2] if side == "both cores" else {cores[core]})
    from pipeline.core import runtime

    runtime.quiet_tensorflow()
    from train import Clock

    from pipeline.train.cluster import cluster_of
    from pipeline.train.core import build_core
    from pipeline.train.fitting import trainer_of
    from pipeline.train.input import InMemory, Share, endless
    from pipeline.train.plan import plan
    from pipeline.train.roll_call import roll_call
    from pipeline.train.strategy import ALONE, Workers

    cluster = cluster_of(os.environ)
    if cluster and side == "two apart":
        roll_call(cluster, 120.0)
        cluster = None
    team = Workers(cluster) if cluster else ALONE
    given, features, data = case_of(model, rows)
    shares = 2 if side == "both cores" else team.replicas
    options = replace(given.train, global_batch_size=batch * shares)
    config = replace(given, train=options)
    cut = plan(rows, options.global_batch_size, options.steps_per_execution, team.replicas)
    clock = Clock()
    with runtime.session(seed=7), tempfile.TemporaryDirectory() as folder:
        source: Any = InMemory(data)
        if side == "from disk":
            source = on_disk(Path(folder), data)
        trainer = trainer_of(build_core(config, features), config, features, cut, team)
        stream = endless(source, cut.batch_rows, 7, share=Share(team.worker, 1, team.replicas))
        shape = {"steps_per_epoch": cut.steps_per_epoch, "epochs": 4}
        trainer.fit(stream, callbacks=[clock], shuffle=False, verbose=0, **shape)
        wall, cpu = clock.medians()
        seen = cut.steps_per_epoch * cut.batch_rows
        return {
            "examples": seen / wall,
            "cpu_ms": 1000 * cpu / cut.steps_per_epoch,
            "checkpoint_seconds": checkpoint_seconds(trainer, Path(folder)),
            "peak_memory_bytes": runtime.peak_memory_bytes(),
        }


def case_of(model: str, rows: int) -> tuple[Any, Any, Any]:
    """Config, features and rows for a model."""
    import numpy as np
    import train
    from small_cnn import SIDE

    from pipeline.core.encoding import Encoded
    from pipeline.core.features import FeatureSet, Label, NumericFeature
    from pipeline.train.examples import Examples

    if model != "small_cnn":
        return train.settings(model), *train.made_up(rows)
    pixels = [f"p{number}" for number in range(SIDE * SIDE)]
    features = FeatureSet(
        columns=(),
        label=Label(column="y", task="multiclass", classes=tuple("abcdefghij")),
        features=tuple(NumericFeature(name=name, column=name) for name in pixels),
        rows={"train": rows},
    )
    rng = np.random.default_rng(0)
    dense = rng.random((rows, len(pixels)), np.float32)
    labels = rng.integers(0, 10, rows).astype(np.int32)
    examples = Examples(Encoded(dense, np.zeros((rows, 0), np.int32)), labels)
    return train.settings_of({"name": model, "_target_": f"{model}.build"}), features, examples


def on_disk(folder: Path, data: Any) -> Any:
    """The rows as `stored.store` would leave them."""
    import numpy as np

    from pipeline.train.stored import Stored

    dense, indices = data.encoded.dense, data.encoded.indices
    fields = [("dense", "<f4", dense.shape[1:]), ("indices", "<i4", indices.shape[1:])]
    label = ("label", data.labels.dtype.str, data.labels.shape[1:])
    records = np.zeros(len(data), [*fields, label])
    records["dense"], records["indices"], records["label"] = dense, indices, data.labels
    np.save(folder / "rows.npy", records)
    return Stored(folder / "rows.npy")


def checkpoint_seconds(trainer: Any, root: Path) -> float:
    """Median seconds of writing this model's checkpoint five times, best weights included."""
    import statistics

    from pipeline.train.checkpoint import Checkpoints, Saver
    from pipeline.train.config import CheckpointConfig, EarlyStoppingConfig
    from pipeline.train.watch import BestWeights, EpochWatch

    stopping = EarlyStoppingConfig(
        monitor="val_loss", patience=None, min_delta=0.0, restore_best=True
    )
    best = BestWeights(stopping)
    best.best_weights = trainer.get_weights()
    best.best_score = 0.0
    config = CheckpointConfig(every_seconds=20.0, every_steps=None, keep=2)
    saver = Saver(Checkpoints(root, "0" * 16, config), EpochWatch(dict, print), best)
    saver.set_model(trainer)
    found = []
    for number in range(5):
        begun = time.perf_counter()
        saver.checkpoints.write(number, saver.state(0))
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def compare(model: str, batch: int, rows: int, rounds: int) -> list[list[str]]:
    """Rows of the table for one model and batch."""
    import statistics

    found: dict[str, list[list[dict[str, float]]]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES:
            found[side].append(run_side(side, model, batch, rows))
            print(f"{model}, {batch} rows, round {number}: {side}: {found[side][-1][0]}")

    def median(side: str, what: str) -> float:
        return statistics.median(told[0][what] for told in found[side])

    def speed(side: str) -> float:
        counted = slice(None) if side == "two apart" else slice(1)  # workers tell of all of them
        return statistics.median(sum(t["examples"] for t in told[counted]) for told in found[side])

    plain, one, ceiling = speed("plain"), speed("one worker"), speed("two apart")
    lines = [
        [
            f"{model}, {batch:,} rows a worker: {side}",
            f"{speed(side):,.0f}",
            f"{speed(side) / plain:.2f}",
            f"{speed(side) / one:.2f}",
            f"{speed(side) / ceiling:.2f}",
            f"{median(side, 'cpu_ms'):.1f}",
        ]
        for side in SIDES
    ]
    seconds = median("plain", "checkpoint_seconds")
    share = f"{seconds / (20 + seconds):.2%} of the time"
    return [*lines, [f"{model}: checkpoint", f"{1000 * seconds:.0f} ms", share, "", "", ""]]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=240_000, help="a tenth of it for small_cnn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=CASES, help="MODEL:ROWS_A_WORKER")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = [(model, int(batch)) for model, _, batch in (c.partition(":") for c in options.cases)]
    if options.side:
        told = side_process(options.side, *cases[0], options.rows, options.core)
        print(json.dumps(told))
        return
    lines = []
    for model, batch in cases:
        rows = options.rows // 10 if model == "small_cnn" else options.rows
        lines += compare(model, batch, rows, options.rounds)
    shares = ["of plain", "of one worker", "of two apart"]
    head = ["side", "examples/s", *shares, "CPU ms a step and worker"]
    print(*table(head, lines), sep="\n")
    if options.write:
        write_section("train_scale", "python benchmarks/train_scale.py", table(head, lines))


if __name__ == "__main__":
    main()
