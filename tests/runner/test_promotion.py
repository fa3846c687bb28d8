"""promote, rollback, history: through the gate, all three places together, whatever dies when."""

from __future__ import annotations

import json

import pytest
import yaml

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError, GateRefused, PipelineError
from pipeline.core.promotions import new_promotion, read_promotions
from pipeline.core.schema import dump
from pipeline.core.serving_config import read_serving_config
from pipeline.core.tracking import open_registry
from pipeline.runner.promotion import print_history, promote, rollback
from tests.stores import TRACKING, put_store, start_python

NAME = "flights"


@pytest.fixture(autouse=True)
def no_outer_run(monkeypatch):
    for name in ("PIPELINE_RUN", "DVC_EXP_NAME", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def registered_once(tmp_path_factory):
    """Versions 1 (champion) to 4; 4 is REJECTED. Registered without files."""
    root = tmp_path_factory.mktemp("registry")
    put_store(root)
    registry = open_registry(root, TRACKING)
    folder = root / "packed"
    folder.mkdir()
    (folder / "MLmodel").touch()
    for number, verdict in enumerate(["VALIDATED"] * 3 + ["REJECTED"], start=1):
        tags = {"model_hash": f"{number}" * 64, "verdict": verdict, "git.commit": "c0ffee" * 6}
        registry.add(NAME, folder, None, tags)
    registry.set_alias(NAME, "champion", 1)
    registry.set_alias(NAME, "challenger", 3)
    return root


@pytest.fixture
def root(registered_once, tmp_path):
    """A copy of it where every version but 2 is exported."""
    (tmp_path / "mlflow.db").write_bytes((registered_once / "mlflow.db").read_bytes())
    params = {"register": {"name": NAME}, "tracking": dump(TRACKING)}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for version in (1, 3, 4):
        export(tmp_path, version)
    return tmp_path


def export(root, version):
    folder = root / "models" / "serving" / NAME / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()


def aliases(root):
    return open_registry(root, TRACKING).aliases(NAME)


def labels(root):
    (model,) = read_serving_config(Artifacts(root).serving_config)
    return dict(model.labels)


def history(root):
    return [
        (one.action, one.from_version, one.to_version)
        for one in read_promotions(Artifacts(root).promotions)
    ]


def test_a_promotion_moves_alias_label_and_history_together(root, capsys):
    promote(root, 3, reason="better by 0.01")
    assert aliases(root) == {"champion": 3}
    assert labels(root) == {"champion": 3}
    assert history(root) == [("found", None, 1), ("promoted", 1, 3)]
    last = read_promotions(Artifacts(root).promotions)[-1]
    assert (last.reason, last.verdict, last.model_hash) == ("better by 0.01", "VALIDATED", "3" * 64)
    assert last.who
    assert last.when.endswith("Z")
    assert "version 3 is the champion now, in place of version 1" in capsys.readouterr().out
    (model,) = read_serving_config(Artifacts(root).serving_config)
    assert model.versions == (1, 3)  # the former champion stays warm for a rollback
    assert not (root / ".pipeline" / "promotion.json").exists()


def test_a_rollback_walks_back_and_stops_at_the_first(root):
    export(root, 2)
    for version in (2, 3):
        promote(root, version, reason="")
    rollback(root, None, reason="late trains")
    assert aliases(root)["champion"] == labels(root)["champion"] == 2
    rollback(root, None, reason="")
    assert aliases(root)["champion"] == labels(root)["champion"] == 1
    with pytest.raises(GateRefused, match="no former champion"):
        rollback(root, None, reason="")
    assert history(root)[-2:] == [("rolled_back", 3, 2), ("rolled_back", 2, 1)]


def test_a_rollback_to_a_named_version(root):
    export(root, 2)
    for version in (2, 3):
        promote(root, version, reason="")
    with pytest.raises(GateRefused, match="version 4 is no former champion") as error:
        rollback(root, 4, reason="")
    assert error.value.expected == "one of 1, 2"
    rollback(root, 1, reason="")
    assert aliases(root)["champion"] == 1
    with pytest.raises(GateRefused, match="no former champion"):
        rollback(root, None, reason="")


def test_the_gate_names_every_reason(root):
    (root / "models" / "serving" / NAME / "4" / "saved_model.pb").unlink()
    with pytest.raises(GateRefused, match="version 4 is not promoted") as error:
        promote(root, 4, reason="")
    assert error.value.exit_code == 3
    text = str(error.value)
    assert "- its verdict is REJECTED" in text
    assert "- it is not exported: models/serving/flights/4" in text
    with pytest.raises(GateRefused, match="not exported") as error:
        promote(root, 2, reason="")
    assert "check out commit c0ffeec0ffee" in error.value.remedy
    assert aliases(root)["champion"] == 1


def test_a_rollback_to_what_is_no_longer_exported_is_refused(root):
    promote(root, 3, reason="")
    (root / "models" / "serving" / NAME / "1" / "saved_model.pb").unlink()
    with pytest.raises(GateRefused, match="it is not exported"):
        rollback(root, None, reason="")
    assert aliases(root)["champion"] == 3


def test_versions_and_models_that_do_not_exist(root):
    with pytest.raises(PipelineError, match="no version 9") as error:
        promote(root, 9, reason="")
    assert error.value.expected == "one of 1, 2, 3, 4"
    (root / "params.yaml").write_text(
        yaml.safe_dump({"register": {"name": "fligths"}, "tracking": dump(TRACKING)})
    )
    with pytest.raises(PipelineError, match="no model 'fligths'") as error:
        promote(root, 1, reason="")
    assert error.value.remedy == "did you mean flights?"
    (root / "params.yaml").write_text(yaml.safe_dump({"tracking": dump(TRACKING)}))
    with pytest.raises(ConfigError, match=r"register\.name"):
        promote(root, 1, reason="")


def test_promoting_the_champion_changes_nothing(root, capsys):
    promote(root, 1, reason="")
    assert "is the champion already" in capsys.readouterr().out
    assert history(root) == [("found", None, 1)]
    assert labels(root) == {"champion": 1, "challenger": 3}


def intend(root, to, moved):
    """What a kill leaves: the intent, with the alias moved or not yet."""
    change = new_promotion(
        NAME, "promoted", 1, to, reason="why", verdict="VALIDATED", model_hash="h"
    )
    (root / ".pipeline").mkdir(exist_ok=True)
    (root / ".pipeline" / "promotion.json").write_text(json.dumps(dump(change)))
    if moved:
        open_registry(root, TRACKING).set_alias(NAME, "champion", to)


def test_the_next_command_finishes_what_a_kill_left(root, capsys):
    intend(root, 3, moved=True)
    print_history(root, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [(one["to_version"], one["reason"]) for one in told] == [(3, "why")]
    assert labels(root) == {"champion": 3}
    assert aliases(root) == {"champion": 3}
    print_history(root, as_json=True)
    assert json.loads(capsys.readouterr().out) == told


def test_an_intent_that_did_not_happen_is_forgotten(root):
    intend(root, 3, moved=False)
    promote(root, 1, reason="")
    assert history(root) == [("found", None, 1)]
    assert aliases(root)["champion"] == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.core.tracking_registry import Registry
from pipeline.runner.promotion import promote
Registry.drop_alias = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
promote(Path(sys.argv[1]), 3, reason="mine")
"""


def test_a_promotion_killed_after_the_alias_is_completed_by_the_next(root):
    process = start_python(KILLED, root)
    process.communicate()
    assert process.returncode == -9
    assert aliases(root)["champion"] == 3
    rollback(root, None, reason="")
    assert history(root) == [("found", None, 1), ("promoted", 1, 3), ("rolled_back", 3, 1)]
    assert read_promotions(Artifacts(root).promotions)[1].reason == "mine"


def test_a_move_by_others_is_written_down(root):
    promote(root, 3, reason="")
    open_registry(root, TRACKING).set_alias(NAME, "champion", 4)
    with pytest.raises(GateRefused, match="version 2 is not promoted"):
        promote(root, 2, reason="")
    assert history(root)[-1] == ("found", 3, 4)
    assert labels(root) == {"champion": 4}


def test_history_is_printed(root, capsys):
    print_history(root, as_json=False)
    assert "nothing was promoted yet" in capsys.readouterr().out
    promote(root, 3, reason="naïve [bold]reason")
    print_history(root, as_json=False)
    printed = capsys.readouterr().out
    assert "promoted" in printed
    assert "333333" in printed
    promotion = read_promotions(Artifacts(root).promotions)[-1]
    assert promotion.when in printed
    assert f"{promotion.model_hash[:12]}  naïve [bold]reason" in printed


def test_history_needs_no_mlflow(root):
    program = """
import sys
from pathlib import Path
from pipeline.runner.promotion import print_history
print_history(Path(sys.argv[1]), as_json=True)
assert "mlflow" not in sys.modules
"""
    process = start_python(program, root)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert json.loads(out) == []
