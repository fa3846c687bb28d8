"""Finds equal rows by their hashes, on disk: memory holds the hashes of one bucket at a time.

Every part sorts its rows into buckets by the leading bits of their hashes. Rows that are equal are
in the same bucket, so each bucket is looked through by itself.
"""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.preprocess.parts import whole_file
from pipeline.preprocess.row_hash import Hashes

Rows = NDArray[np.int64]

_ENTRY = np.dtype([("row", "<u4"), ("hash", "<u8")])


@dataclass(frozen=True)
class Buckets:
    """The hashes of all rows, sorted into files.

    Attributes:
        folder: Where the files are.
        name: What they are called.
        count: How many buckets there are, a power of two.
        parts: How many parts there are.
    """

    folder: Path
    name: str
    count: int
    parts: int

    def sort_in(self, part: int, rows: Rows, hashes: Hashes) -> None:
        """Takes the numbers of rows of a part, increasing, and their hashes."""
        bits = self.count.bit_length() - 1
        # A shift by all 64 bits is not defined.
        bucket = hashes >> np.uint64(64 - bits) if bits else np.zeros(len(hashes))
        # Numbers of up to 16 bits are sorted by their digits, several times as fast as wider ones.
        bucket = bucket.astype(np.min_scalar_type(self.count - 1))
        order = np.argsort(bucket, kind="stable")
        entries = np.empty(len(hashes), _ENTRY)
        entries["row"], entries["hash"] = rows[order], hashes[order]
        counts = np.bincount(bucket.astype(np.int64), minlength=self.count)
        self._save(f"hashes-{part:05}", entries, counts)

    def find_in(self, bucket: int) -> int:
        """Looks through a bucket; what equals an earlier row is noted.

        Returns:
            How many such rows there are.
        """
        entries, sizes = self._of_bucket(bucket)
        copies = pd.Series(entries["hash"]).duplicated().to_numpy()
        part = np.repeat(np.arange(self.parts), sizes)
        counts = np.bincount(part[copies], minlength=self.parts)
        self._save(f"copies-{bucket:05}", entries[copies], counts)
        return int(copies.sum())

    def copies_of(self, part: int) -> Rows:
        """The rows of a part that equal an earlier row of the table."""
        found = [self._load(f"copies-{bucket:05}", part) for bucket in range(self.count)]
        return np.concatenate(found)["row"].astype(np.int64)

    def repeated_in(self, bucket: int, shown: int) -> tuple[int, list[tuple[int, int]]]:
        """The rows of a bucket whose hash stands in several rows.

        Returns:
            How many, and part and row of the first `shown`.
        """
        entries, sizes = self._of_bucket(bucket)
        several = pd.Series(entries["hash"]).duplicated(keep=False).to_numpy()
        part = np.repeat(np.arange(self.parts), sizes)[several]
        places = list(zip(part.tolist(), entries["row"][several].tolist(), strict=True))
        return len(places), heapq.nsmallest(shown, places)

    def _of_bucket(self, bucket: int) -> tuple[Any, list[int]]:
        found = [self._load(f"hashes-{part:05}", bucket) for part in range(self.parts)]
        return np.concatenate(found), [len(one) for one in found]

    def _save(self, name: str, entries: Any, counts: Rows) -> None:
        with whole_file(self._path(name)) as aside, aside.open("wb") as file:
            np.save(file, np.concatenate([[0], np.cumsum(counts)]))
            entries.tofile(file)

    def _load(self, name: str, share: int) -> Any:
        with self._path(name).open("rb") as file:
            low, high = np.load(file)[share : share + 2].tolist()
            file.seek(low * _ENTRY.itemsize, os.SEEK_CUR)
            return np.fromfile(file, _ENTRY, high - low)

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.name}-{name}"
