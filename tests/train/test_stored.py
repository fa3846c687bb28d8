"""Splits on disk say what splits in memory say, in an order of their own, within bounded memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.errors import DataError
from pipeline.train import stored
from pipeline.train.examples import class_weights, examples
from pipeline.train.input import Share, endless
from pipeline.train.stored import Stored, store
from tests.train.worlds import LABELS, REPOSITORY, features, frame, processed, train


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_stored_split_is_the_encoded_split(
    tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "WRITTEN_VALUES", 256)
    artifacts = processed(tmp_path, task)
    choice = "none" if task == "regression" else "balanced"
    found = Stored(store(artifacts, features(task), "train", choice)).examples()
    rows = examples(artifacts.split("train").read(), features(task), "train")
    np.testing.assert_array_equal(found.encoded.dense, rows.encoded.dense)
    np.testing.assert_array_equal(found.encoded.indices, rows.encoded.indices)
    np.testing.assert_array_equal(found.labels, rows.labels)
    weights = class_weights(choice, rows.labels, LABELS[task])
    if weights is None:
        assert found.weights is None
    else:
        np.testing.assert_array_equal(found.weights, weights)


def test_a_split_is_stored_once_and_again_when_it_changes(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    first = store(artifacts, features("binary"), "train")
    written = first.stat().st_mtime_ns
    assert store(artifacts, features("binary"), "train") == first
    assert first.stat().st_mtime_ns == written
    artifacts.split("train").write(frame("binary", 50, seed=5))
    second = store(artifacts, features("binary"), "train")
    assert second != first
    assert len(Stored(second)) == 50
    assert list((tmp_path / STATE / "input").glob("*.npy")) == [second]


def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setattr(stored, "BLOCK_ROWS", 16)
    monkeypatch.setattr(stored, "POOL_BLOCKS", 4)
    artifacts = processed(tmp_path, "binary")
    return Stored(store(artifacts, features("binary"), "train"))


def test_each_pass_sees_every_row_once_and_pools_stay_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = small(tmp_path, monkeypatch)
    one, other = (split.permutation(7, epoch).numpy() for epoch in (0, 1))
    np.testing.assert_array_equal(np.sort(one), np.arange(len(split)))
    np.testing.assert_array_equal(np.sort(other), np.arange(len(split)))
    np.testing.assert_array_equal(one, split.permutation(7, 0).numpy())
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, split.permutation(8, 0).numpy())
    for start in range(0, len(split), 64):  # a pool touches as many blocks as it has
        assert len(np.unique(one[start : start + 64] // 16)) <= 5


def test_two_workers_read_the_halves_of_every_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = small(tmp_path, monkeypatch)
    whole = [labels.numpy() for _, labels in endless(split, 50, 3, first_batch=20).take(4)]
    halves = [
        [
            labels.numpy()
            for _, labels in endless(split, 50, 3, first_batch=20, share=Share(i, 1, 2)).take(4)
        ]
        for i in range(2)
    ]
    for batch, left, right in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate([left, right]))


def test_a_model_is_trained_from_disk(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    train(artifacts, "wide_deep", train__input="stream", train__class_weights="balanced")
    assert artifacts.training.read().epochs == 3
    assert len(list((tmp_path / STATE / "input").glob("*.npy"))) == 2


def test_auto_reads_from_disk_what_memory_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = processed(tmp_path, "binary")
    train(artifacts, "linear", train__epochs=1)
    assert not (tmp_path / STATE / "input").exists()
    rows = len(examples(artifacts.split("train").read(), features("binary"), "train"))
    monkeypatch.setattr(stored, "_free_bytes", lambda: 4 * rows)  # a row has 16 bytes
    train(artifacts, "linear", train__epochs=1)
    assert "too large for memory: streaming them from disk" in capsys.readouterr().out
    assert len(list((tmp_path / STATE / "input").glob("*.npy"))) == 2


@pytest.mark.parametrize("kind", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_a_limit_of_the_process_bounds_what_is_free(kind: int) -> None:
    before, hard = resource.getrlimit(kind)
    used = psutil.Process().memory_info()
    taken = used.vms if kind == resource.RLIMIT_AS else used.data
    resource.setrlimit(kind, (taken + 2**28, hard))
    try:
        assert 2**27 < stored._free_bytes() < 2**28 + 2**24
    finally:
        resource.setrlimit(kind, (before, hard))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    artifacts.split("validation").write(frame("binary", 9, 0).iloc[:0])
    with pytest.raises(DataError, match="validation split has no rows"):
        train(artifacts, "linear", train__input="stream")
    assert not Artifacts(tmp_path).model.exists()


WIDE = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd, psutil
from pipeline.core.artifacts import Artifacts
from pipeline.core.features import Column, FeatureSet, Label, NumericFeature
from pipeline.core.records import LABEL
from pipeline.core.runtime import quiet_tensorflow
from tests.train import worlds

root, mode = Path(sys.argv[1]), sys.argv[2]
names = [f"x{i}" for i in range(200)]
artifacts = Artifacts(root)
if mode == "write":
    (root / "data" / "processed").mkdir(parents=True)
    numbers = tuple(NumericFeature(name=name, column=name) for name in names)
    label = Label(column="y", task="binary", classes=("no", "yes"))
    columns = tuple(Column(name=name, dtype="float64") for name in names)
    artifacts.features.write(
        FeatureSet(columns=columns, label=label, features=numbers, rows={"train": 400_000})
    )
    for split, rows in (("train", 400_000), ("validation", 2_000)):
        rng = np.random.default_rng(rows)
        table = pd.DataFrame(rng.integers(-4, 5, (rows, 200)).astype(float), columns=names)
        table[LABEL] = (table["x0"] + table["x1"] > 0).astype("int64")
        path = artifacts.split(split).path
        table.to_parquet(path, index=False, row_group_size=20_000)
    sys.exit()
quiet_tensorflow()
import tensorflow as tf, keras, sklearn.metrics, pyarrow.parquet
tf.constant(1.0) + 1
worlds.STAGE.load()
import matplotlib.backends.backend_agg  # the training card
np.ones((500, 500)) @ np.ones((500, 500))  # OpenBLAS takes its buffers once
used = psutil.Process().memory_info()
# 400,000 rows of 200 numbers are 320 MB encoded and 640 MB before; the limit leaves 280 MB.
limit = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (limit + 280_000_000, limit + 280_000_000))
worlds.train(artifacts, "linear", train__input=mode, train__epochs=1,
             train__global_batch_size=1024)
print("trained", artifacts.training.read().validation_loss)
"""


@pytest.mark.slow
def test_a_table_larger_than_the_memory_left_is_trained_from_disk(tmp_path: Path) -> None:
    program = textwrap.dedent(WIDE)

    def run(mode: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), mode],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("write").returncode == 0
    held = run("memory")
    assert held.returncode != 0
    assert "out of memory" in held.stderr
    assert "train.input=stream" in held.stderr
    streamed = run("auto")
    assert "too large for memory" in streamed.stdout
    assert "trained" in streamed.stdout, streamed.stderr[-2000:]
