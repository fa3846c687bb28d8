"""A small project to ingest into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.records import SourceRecord
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.ingest import STAGE, stream

CSV = "id,word,number\n1,a,1.5\n2,é,\n3,,-2\n"
"""Three rows with a word that is not ASCII, a missing word and a missing number."""


@dataclass(frozen=True)
class Ingest:
    """Runs the real stage on `root`."""

    root: Path

    def run(
        self,
        source: Mapping[str, Any] | str,
        joins: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Ingests a source (a path means a file) and reads back what was written."""
        if isinstance(source, str):
            source = {"kind": "file", "path": source}
        params = {
            "data": {"source": source, "joins": joins or {}},
            "ingest": {"sample_rows": None, "seed": 0, "stream_above_bytes": 100_000_000} | options,
        }
        config = STAGE.configure(params)
        journal = Journal(self.root / "journal" / "ingest.jsonl")
        STAGE.load()(config, self.artifacts, Context(root=self.root, journal=journal))
        return self.artifacts.raw_table.read()

    def write(self, name: str, content: str | bytes) -> str:
        """Writes a file into the project; returns its name."""
        data = content.encode() if isinstance(content, str) else content
        (self.root / name).write_bytes(data)
        return name

    @property
    def artifacts(self) -> Artifacts:
        """The project's artifacts."""
        return Artifacts(self.root)

    @property
    def published(self) -> list[str]:
        """What lies under data/, hidden leftovers too."""
        data = self.root / "data"
        return sorted(path.name for path in data.iterdir()) if data.exists() else []

    @property
    def record(self) -> SourceRecord:
        """What the last run wrote down."""
        return self.artifacts.source.read()


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    """An empty project."""
    return Ingest(tmp_path)


@pytest.fixture
def failing(ingest: Ingest) -> Callable[..., str]:
    """Ingests what must fail; returns the message, having made sure that nothing was written."""
    from pipeline.core.errors import PipelineError

    def fail(source: Mapping[str, Any] | str, joins: Mapping[str, Any] | None = None) -> str:
        with pytest.raises(PipelineError) as error:
            ingest.run(source, joins)
        assert error.value.expected
        assert error.value.remedy
        left = [path for path in (ingest.root / "data").rglob("*") if path.is_file()]
        assert left == []
        return str(error.value)

    return fail


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs of `same` in which a file was read at once."""
    runs: list[str] = []

    def watched(path: Path, *rest: Any, **options: Any) -> Any:
        runs.append(path.parent.name)
        return read_table(path, *rest, **options)

    read_table = stream.read_table
    monkeypatch.setattr(stream, "read_table", watched)
    return runs
