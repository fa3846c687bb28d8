"""What is seen of a training: its card, and what it cost."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.train.worlds import context, processed, train


def test_the_card_shows_the_training_and_stands_alone(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    train(artifacts, "mlp")
    card = artifacts.training_card.read_text(encoding="utf-8")
    record = artifacts.training.read()
    assert card.count("<svg") == 5  # loss, AUC, accuracy, learning rate, pace
    assert f"{record.parameters:,} parameters" in card
    assert f"kept epoch {record.best_epoch}" in card
    assert "<script" not in card
    addresses = set(re.findall(r"https?://[^\s\"'<]+", card))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_what_it_cost_goes_to_the_journal(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    train(artifacts, "linear")
    lines = context(tmp_path).journal.path.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    metrics = {
        k: v for one in told if one["kind"] == "metrics" for k, v in one["value"]["values"].items()
    }
    assert metrics["step_ms"] > 0
    assert 0 < metrics["input_share"] < 1
    assert metrics["others_share"] == 0
    assert not [name for name in metrics if name.startswith("worker_")]
    assert 0 <= metrics["validation_share"] < 1
    assert metrics["cores_busy"] > 0
    attached = [one["value"]["path"] for one in told if one["kind"] == "artifact"]
    assert str(artifacts.training_card.absolute()) in attached
