"""A small project with groups of its own, so that these tests depend on no other room."""

from __future__ import annotations

from pathlib import Path

import pytest

FILES = {
    "config.yaml": """
defaults:
  - _self_
  - data: flights
  - model: dcn
  - train: default
  - tracking: sqlite
""",
    "data/flights.yaml": """
name: flights
columns:
  distance: {kind: numeric}
  carrier: {kind: categorical}
""",
    "data/penguins.yaml": """
name: penguins
columns:
  island: {kind: categorical}
""",
    "model/dcn.yaml": "{name: dcn, layers: [64, 32], dropout: 0.1}",
    "model/mlp.yaml": "{name: mlp, layers: [16]}",
    "train/default.yaml": """
epochs: 8  # passes
optimizer: {name: adam, learning_rate: 1.0e-3}
note: ${data.name} with ${model.name}
""",
    "tracking/sqlite.yaml": "{kind: sqlite, experiment: '${data.name}'}",
    "experiment/long.yaml": """
# @package _global_
defaults:
  - override /model: mlp
train: {epochs: 100}
""",
    "debug/smoke.yaml": """
# @package _global_
train: {epochs: 2}
""",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project's folder."""
    for name, text in FILES.items():
        path = tmp_path / "configs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip(), encoding="utf-8")
    return tmp_path
