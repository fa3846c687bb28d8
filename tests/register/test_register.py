"""The stage: one version for one model, through the gate, with its whole story."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, GateRefused
from pipeline.core.promotions import read_promotions
from pipeline.core.schema import build
from pipeline.core.tracking import flush, open_registry
from pipeline.register import STAGE
from pipeline.register.config import RegisterConfig
from pipeline.register.facts import folder_hash
from tests.register.conftest import NAME, PARAMS, Trained
from tests.stores import TRACKING, client, count, runs


def registry(trained: Trained):
    return open_registry(trained.root, TRACKING)


def test_the_first_version_is_the_champion(registered_once):
    record = registered_once.artifacts.registration.read()
    assert (record.name, record.version, record.alias) == (NAME, 1, "champion")
    champion = registry(registered_once).champion(NAME)
    assert champion.version == 1
    assert champion.aliases == ("champion",)
    assert champion.verdict == "VALIDATED"
    assert champion.model_hash == record.model_hash == "a" * 64
    (first,) = read_promotions(registered_once.artifacts.promotions)
    assert (first.action, first.from_version, first.to_version) == ("registered", None, 1)


def test_a_version_tells_the_way_back_to_its_data(registered_once):
    tags = registry(registered_once).champion(NAME).tags
    assert tags["gate.auc"] == "0.712346 >= 0.7"
    assert tags["data.hash"] == folder_hash(registered_once.root / "data" / "processed")
    assert tags["data.name"] == NAME
    assert tags["train.model"] == "mlp"
    assert len(tags["params.hash"]) == 64
    run_id = registered_once.artifacts.registration.read().run_id
    parent = client(registered_once.root).get_run(run_id)
    assert parent.data.tags["pipeline.run"] == tags["pipeline.run"]


def test_the_run_knows_its_version(registered_once):
    assert flush(registered_once.root, TRACKING)
    parent = next(
        one for one in runs(registered_once.root) if "mlflow.parentRunId" not in one.data.tags
    )
    assert parent.data.tags["registry.version"] == "1"
    assert parent.data.tags["stage.register"] == "ran"
    children = [one for one in runs(registered_once.root) if one.info.run_name == "register"]
    assert [one.info.status for one in children] == ["FINISHED"]


def test_no_pickle_anywhere(registered_once):
    names = [path.name for path in registered_once.root.rglob("*") if path.is_file()]
    assert "MLmodel" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_the_same_model_never_becomes_a_second_version(trained):
    trained.register()
    first = trained.artifacts.registration.read()
    trained.artifacts.registration.path.unlink()
    trained.register()
    assert trained.artifacts.registration.read() == first
    assert len(registry(trained).versions(NAME)) == 1
    assert len(read_promotions(trained.artifacts.promotions)) == 1
    trained.judge("b" * 64)
    trained.register()
    second = trained.artifacts.registration.read()
    assert (second.version, second.alias) == (2, "challenger")
    trained.judge("a" * 64)
    trained.register()
    assert trained.artifacts.registration.read() == first
    assert registry(trained).aliases(NAME) == {"champion": 1, "challenger": 2}


def add_version(trained: Trained, model_hash: str) -> None:
    """A version with files that only look like a model: quicker than the real thing."""
    folder = trained.root / "packed"
    (folder / "artifacts" / "saved_model").mkdir(parents=True, exist_ok=True)
    (folder / "artifacts" / "saved_model" / "saved_model.pb").touch()
    registry(trained).add(NAME, folder, None, {"model_hash": model_hash, "verdict": "VALIDATED"})


def test_the_newest_validated_model_is_the_challenger_also_an_old_one(trained):
    for letter in "abc":
        add_version(trained, letter * 64)
    for letter, alias in (("a", "champion"), ("c", "challenger"), ("b", "challenger")):
        trained.judge(letter * 64)
        trained.register()
        assert trained.artifacts.registration.read().alias == alias
    assert registry(trained).aliases(NAME) == {"champion": 1, "challenger": 2}


def test_two_at_once_make_one_version(trained):
    failures = []

    def work():
        try:
            trained.register()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert count(trained.root, "model_versions") == 1


def test_a_kill_before_the_alias_is_made_good(trained):
    add_version(trained, "a" * 64)
    trained.register()
    assert registry(trained).aliases(NAME) == {"champion": 1}
    assert trained.artifacts.registration.read().alias == "champion"
    assert len(read_promotions(trained.artifacts.promotions)) == 1


def test_a_rejected_model_is_refused_with_every_reason(trained):
    trained.judge("a" * 64, "REJECTED", "auc 0.61 is below 0.7", "too slow")
    with pytest.raises(GateRefused, match="REJECTED") as error:
        trained.register()
    assert error.value.exit_code == 3
    assert "- auc 0.61 is below 0.7\n  - too slow" in str(error.value)
    assert registry(trained).versions(NAME) == []
    assert not trained.artifacts.registration.path.exists()


def test_a_verdict_on_another_model_does_not_count(trained):
    from tests.register.conftest import training

    trained.artifacts.training.write(training("f" * 64))
    with pytest.raises(GateRefused, match="the verdict is on model aaaaaaaaaaaa, not on ffff"):
        trained.register()


def test_no_verdict_no_version(trained):
    trained.artifacts.verdict.path.unlink()
    with pytest.raises(GateRefused, match="nobody has judged the model"):
        trained.register()


def test_an_experiment_registers_nothing_whatever_its_verdict(trained, capsys):
    trained.judge("d" * 64, "REJECTED", "too slow")
    trained.register(experiment="wide-tern")
    record = trained.artifacts.registration.read()
    assert (record.version, record.run_id, record.alias) == (None, None, None)
    assert "nothing is registered" in capsys.readouterr().out
    assert registry(trained).versions(NAME) == []


def test_files_that_are_gone_are_named(trained):
    from pipeline.core.errors import PipelineError

    add_version(trained, "a" * 64)
    registry(trained).set_alias(NAME, "champion", 1)
    known = registry(trained)
    folder = known.saved_model(known.champion(NAME))
    assert (folder / "saved_model.pb").exists()
    (trained.root / "mlruns").rename(trained.root / "moved")
    with pytest.raises(PipelineError, match="files of flights version 1 are gone"):
        known.saved_model(known.champion(NAME))


def test_versions_and_names_that_do_not_exist(registered_once):
    from pipeline.core.errors import PipelineError

    known = registry(registered_once)
    with pytest.raises(PipelineError, match="no version 7") as error:
        known.version(NAME, 7)
    assert error.value.expected == "one of 1"
    with pytest.raises(PipelineError, match="no model 'flihgts'") as error:
        known.version("flihgts", 1)
    assert error.value.remedy == "did you mean flights?"
    assert known.champion("flihgts") is None
    assert known.versions("flihgts") == []
    assert known.with_hash(NAME, "it's not there") is None


def test_the_stage_reads_its_sections(trained):
    config = STAGE.configure(PARAMS)
    assert (config.register.name, config.data_name) == (NAME, NAME)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", 'a"b', "a'b", " a", ".hidden"])
def test_a_name_must_do_for_folders_and_requests(name):
    with pytest.raises(ConfigError, match=r"register\.name"):
        build(RegisterConfig, {"name": name, "example_rows": 5}, "register")


def test_the_default_config_is_complete():
    import yaml

    path = Path(__file__).parents[2] / "configs" / "register" / "default.yaml"
    values = yaml.safe_load(path.read_text())
    built = build(RegisterConfig, {**values, "name": "flights"}, "register")
    assert built.example_rows == 5
