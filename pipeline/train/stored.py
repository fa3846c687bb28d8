"""Encoded splits on disk, for tables that memory does not hold: written once, read by row number.

A split is one NumPy file of records (`dense`, `indices`, `label` and, where rows are weighted,
`weight`), written block by block from the Parquet file and mapped into memory, so that the system
keeps as much of it there as there is room for. Rows are shuffled on two levels: blocks of
neighbouring rows are put in a random order, then the rows of a pool of blocks are mixed. What is
read next thus lies in few places, however large the table is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.artifacts import STATE, Artifacts, require
from pipeline.core.console import progress
from pipeline.core.encoding import Encoded
from pipeline.core.features import FeatureSet
from pipeline.core.publishing import exclusive, publish_file
from pipeline.core.records import Split
from pipeline.train.examples import Examples, class_weights, examples
from pipeline.train.input import Gather

if TYPE_CHECKING:
    import pyarrow.parquet as pq

WRITTEN_VALUES = 2**20
"""Values, rows times columns, that are encoded at a time: some 8 MB, several times over."""
BLOCK_ROWS = 1024
"""Neighbouring rows that stay in one pool."""
POOL_BLOCKS = 128
"""Blocks whose rows are mixed."""
LARGEST_SHARE = 0.25
"""Of the machine's free memory, that encoded splits may take before they are streamed."""
_FOLDER = f"{STATE}/input"
_NEEDED: tuple[Split, ...] = ("train", "validation")


def too_large(artifacts: Artifacts, features: FeatureSet, workers: int) -> bool:
    """Whether the splits, encoded by every worker, would take more than their share of memory."""
    rows = sum(artifacts.split(split).parts().metadata.num_rows for split in _NEEDED)
    needed: int = rows * _layout(features).itemsize * workers
    return needed > LARGEST_SHARE * _free_bytes()


class Stored:
    """A stored split.

    Args:
        path: What `store` returned.
    """

    draw = None

    def __init__(self, path: Path) -> None:
        self.records: NDArray[Any] = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.records)

    def examples(self) -> Examples:
        """The split as arrays that are read when they are looked at."""
        weights = self.records["weight"] if "weight" in (self.records.dtype.names or ()) else None
        encoded = Encoded(self.records["dense"], self.records["indices"])
        return Examples(encoded, self.records["label"], weights)

    def permutation(self, seed: int, epoch: tf.Tensor, count: int | None = None) -> tf.Tensor:
        """All row numbers: pools of blocks in random order, the rows of each pool mixed."""
        count = len(self) if count is None else count
        order: tf.Tensor = tf.numpy_function(self._permutation, [seed, epoch, count], tf.int32)
        order.set_shape([count])
        return order

    def _permutation(self, seed: int, epoch: int, count: int) -> NDArray[np.int32]:
        rng = np.random.default_rng([int(seed), int(epoch)])
        rows = np.arange(count, dtype=np.int32)
        starts = rng.permutation(np.arange(0, count, BLOCK_ROWS))
        order = np.concatenate([rows[start : start + BLOCK_ROWS] for start in starts])
        pool = BLOCK_ROWS * POOL_BLOCKS
        for start in range(0, len(order), pool):
            rng.shuffle(order[start : start + pool])
        return order

    def gather(self) -> Gather:
        """Reads the records of a batch."""
        fields: Any = self.records.dtype.fields
        names = list(fields)
        specs = {name: (fields[name][0].base, fields[name][0].shape) for name in names}
        read_since = 0

        def read(picked: NDArray[np.int32]) -> list[NDArray[Any]]:
            nonlocal read_since
            batch = self.records[picked]
            read_since += len(picked)
            if read_since >= BLOCK_ROWS * POOL_BLOCKS:
                read_since = 0
                self._release()
            return [np.ascontiguousarray(batch[name]) for name in names]

        def gather(picked: tf.Tensor) -> tuple[Any, ...]:
            arrays = tf.numpy_function(read, [picked], [specs[name][0] for name in names])
            for name, array in zip(names, arrays, strict=True):
                array.set_shape([picked.shape[0], *specs[name][1]])
            found = dict(zip(names, arrays, strict=True))
            inputs = {"dense": found["dense"], "indices": found["indices"]}
            return (inputs, found["label"], *([found["weight"]] if "weight" in found else []))

        return gather

    def _release(self) -> None:
        """Gives pages that were read back to the system, which keeps them while it has room."""
        mapped = getattr(self.records, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def store(artifacts: Artifacts, features: FeatureSet, split: Split, choice: Any = "none") -> Path:
    """Encodes a split into a file, unless it has been already; returns the file.

    Args:
        artifacts: The processed data.
        features: The fitted features.
        split: Which split.
        choice: `train.class_weights`; none for a split that is not trained on.

    Raises:
        DataError: As `examples` does.
    """
    source = artifacts.split(split).path
    require(source)
    folder = artifacts.root / _FOLDER
    target = folder / f"{split}-{_key(artifacts, source, choice)}.npy"
    with exclusive(folder / f"{split}.lock", f"the input of {split}", wait_seconds=24 * 3600):
        if not target.exists():
            for old in folder.glob(f"{split}-*.npy"):
                old.unlink()
            with publish_file(target) as aside:
                _write(aside, artifacts, features, split, choice)
    return target


def _key(artifacts: Artifacts, source: Path, choice: Any) -> str:
    digest = hashlib.sha256(json.dumps(choice, sort_keys=True).encode("utf-8"))
    for path in (artifacts.features.path, source):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _layout(features: FeatureSet, *, weighted: bool = False) -> np.dtype[Any]:
    dense, indices = len(features.dense_names), len(features.index_columns)
    multiclass = features.label.task == "multiclass"
    label = ("label", "<i4") if multiclass else ("label", "<f4", (1,))
    fields: list[Any] = [("dense", "<f4", (dense,)), ("indices", "<i4", (indices,)), label]
    return np.dtype([*fields, *([("weight", "<f4")] if weighted else [])])


def _write(
    aside: Path, artifacts: Artifacts, features: FeatureSet, split: Split, choice: Any
) -> None:
    source = artifacts.split(split).parts()
    rows, weighted = source.metadata.num_rows, choice != "none" or features.weight is not None
    if not rows:
        examples(artifacts.split(split).read(), features, split)  # says what is wrong
    layout = _layout(features, weighted=weighted)
    with aside.open("wb") as file:
        header = {"descr": layout.descr, "fortran_order": False, "shape": (rows,)}
        np.lib.format.write_array_header_2_0(file, header)
        with progress(f"encode {split}", rows) as advance:
            for encoded in _encoded(source, features, split):
                block = np.zeros(len(encoded), layout)
                block["dense"], block["indices"] = encoded.encoded.dense, encoded.encoded.indices
                block["label"] = encoded.labels
                if weighted:
                    block["weight"] = 1 if encoded.weights is None else encoded.weights
                block.tofile(file)
                advance(len(encoded), "")
    if choice != "none":
        records = np.load(aside, mmap_mode="r+")
        records["weight"] *= class_weights(choice, records["label"], features.label)
        records.flush()


def _encoded(source: pq.ParquetFile, features: FeatureSet, split: Split) -> Iterator[Examples]:
    import pyarrow as pa

    for batch in source.iter_batches(max(1, WRITTEN_VALUES // source.metadata.num_columns)):
        yield examples(pa.Table.from_batches([batch]).to_pandas(), features, split)


def _free_bytes() -> int:
    """What this process may still take, by the machine, its container (cgroup 2) and its limits."""
    import psutil

    used = psutil.Process().memory_info()
    free = [int(psutil.virtual_memory().available)]
    for kind, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, used.data)):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            free.append(limit - taken)
    with contextlib.suppress(OSError, ValueError):  # no cgroup 2, or no limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        free.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    return min(free)
