"""Versions on disk: loading, switching, keeping what works, labels, reloads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorflow_serving.apis import model_pb2

from pipeline.serve.manager import Manager
from pipeline.serve.models import Model, Retries
from pipeline.serve.predict import run_signature
from pipeline.serve.runs import finished
from pipeline.serve.servable import Servable
from pipeline.serve.status import Code, ServingError
from pipeline.serve.versions import State
from tests.serve.in_process import until
from tests.serve.models import break_model, copy_model


@pytest.fixture
def manager() -> Iterator[Manager]:
    manager = Manager(Servable)
    yield manager
    manager.close()


@pytest.fixture
def base(tmp_path: Path, version_folders: Path) -> Path:
    """A base path of its own with version 1."""
    path = tmp_path / "half"
    path.mkdir()
    copy_model(version_folders / "1", path, 1)
    return path


def ask(manager: Manager, name: str = "half", **choice: object) -> float:
    """y for x = 0, which is the version's bias."""
    spec = model_pb2.ModelSpec(name=name)
    if "version" in choice:
        spec.version.value = choice["version"]
    if "label" in choice:
        spec.version_label = choice["label"]
    with manager.servable(spec) as servable:
        signature = servable.signatures["serving_default"]
        return float(finished(run_signature(servable, signature, {"x": np.float32([0])}))["y"][0])


def test_a_new_version_takes_over_and_the_old_one_ends(
    manager: Manager, base: Path, version_folders: Path
) -> None:
    manager.apply([Model("half", base)])
    assert ask(manager) == 1.0
    copy_model(version_folders / "2", base, 2)
    manager.refresh()
    assert ask(manager) == 2.0
    until(lambda: manager.statuses("half")[1].state is State.END)
    assert list(manager.statuses("half")) == [2, 1]
    with pytest.raises(ServingError, match=r"Specific\(half, 1\)"):
        ask(manager, version=1)


def test_an_unloading_version_waits_for_its_last_request(
    manager: Manager, base: Path, version_folders: Path
) -> None:
    manager.apply([Model("half", base)])
    with manager.servable(model_pb2.ModelSpec(name="half")) as servable:
        copy_model(version_folders / "2", base, 2)
        manager.refresh()
        assert manager.statuses("half")[1].state is State.UNLOADING
        answer = finished(
            run_signature(servable, servable.signatures["serving_default"], {"x": np.float32([2])})
        )
        assert answer["y"][0] == 2.0
    until(lambda: manager.statuses("half")[1].state is State.END)


def test_a_swap_under_load_fails_no_request(
    manager: Manager, base: Path, version_folders: Path
) -> None:
    manager.apply([Model("half", base)])
    answers: list[float] = []
    ending = threading.Event()

    def keep_asking() -> None:
        while not ending.is_set():
            answers.append(ask(manager))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 10)
    copy_model(version_folders / "2", base, 2)
    manager.refresh()
    until(lambda: 2.0 in answers)
    ending.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {1.0, 2.0}
    assert ask(manager) == 2.0


def test_a_broken_version_leaves_the_old_one_serving(
    manager: Manager, base: Path, version_folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager.apply([Model("half", base)])
    break_model(copy_model(version_folders / "2", base, 2))
    for _ in range(3):
        manager.refresh()
    assert ask(manager) == 1.0
    status = manager.statuses("half")[2]
    assert status.state is State.END
    assert status.error is not None
    assert str(base) not in status.error.message
    assert len(caplog.records) == 1, "a version that did not change is not tried again"
    (base / "2" / "saved_model.pb").write_bytes(
        (version_folders / "2" / "saved_model.pb").read_bytes()
    )
    manager.refresh()
    assert ask(manager) == 2.0
    assert manager.statuses("half")[2].state is State.AVAILABLE


def test_retries_come_when_their_time_has_come(
    tmp_path: Path, base: Path, version_folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Manager(Servable, Retries(limit=2, interval_seconds=0.0))
    manager.apply([Model("half", base)])
    break_model(copy_model(version_folders / "2", base, 2))
    for _ in range(5):
        manager.refresh()
    assert len(caplog.records) == 3, "the first try and two more"
    manager.close()


def test_deleting_what_is_served(manager: Manager, base: Path, version_folders: Path) -> None:
    copy_model(version_folders / "2", base, 2)
    manager.apply([Model("half", base)])
    assert ask(manager) == 2.0
    (base / "2").rename(base / "gone")
    manager.refresh()
    assert ask(manager) == 1.0
    base.rename(base.with_name("moved"))
    manager.refresh()
    assert ask(manager) == 1.0, "a base path that cannot be read changes nothing"


def test_what_is_wrong_on_disk_is_told_once(
    manager: Manager, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager.apply([Model("half", base, specific=frozenset({1}))])
    for moved in (base / "1", base):
        moved.rename(moved.with_name("gone"))
        for _ in range(3):
            manager.refresh()
        moved.with_name("gone").rename(moved)
        manager.refresh()
    told = [one.message for one in caplog.records if one.levelname == "WARNING"]
    assert told == [
        "half: version 1 is to be served and is not on disk",
        "half: the base path cannot be read: No such file or directory",
    ]
    assert ask(manager) == 1.0


def test_policies(manager: Manager, base: Path, version_folders: Path) -> None:
    copy_model(version_folders / "2", base, 2)
    (base / "007x").mkdir()
    model = Model("half", base)
    manager.apply([replace(model, newest=0)])
    assert manager.available() == {"half": [1, 2]}
    manager.apply([replace(model, specific=frozenset({1}))])
    assert manager.available() == {"half": [1]}
    manager.apply([replace(model, newest=5)])
    assert manager.available() == {"half": [1, 2]}


def test_labels_move_only_to_what_answers(
    manager: Manager, base: Path, version_folders: Path
) -> None:
    copy_model(version_folders / "2", base, 2)
    model = Model("half", base)
    first, both = replace(model, specific=frozenset({1})), replace(model, newest=0)
    with pytest.raises(ServingError, match="which is not currently"):
        manager.apply([replace(first, labels={"champion": 1})])
    manager.apply([first])
    with pytest.raises(ServingError, match="version 2 of model half, which is not currently"):
        manager.apply([replace(both, labels={"next": 2})])
    assert manager.available() == {"half": [1]}
    manager.apply([both])
    manager.apply([replace(both, labels={"champion": 1})])
    assert ask(manager, label="champion") == 1.0
    manager.apply([replace(both, labels={"champion": 2})])
    assert ask(manager, label="champion") == 2.0
    with pytest.raises(ServingError, match="version 7 of model half, which is not currently") as e:
        manager.apply([replace(both, labels={"champion": 7})])
    assert e.value.code is Code.FAILED_PRECONDITION
    assert ask(manager, label="champion") == 2.0


def test_labels_that_wait_for_their_version(base: Path) -> None:
    """As `pipeline serve` takes a promotion: version and label come in one config."""
    manager = Manager(Servable, load_before_labels=True)
    model = Model("half", base)
    manager.apply([replace(model, labels={"champion": 1})])
    assert ask(manager, label="champion") == 1.0
    with pytest.raises(ServingError, match="version 2 of model half"):
        manager.apply([replace(model, labels={"champion": 2})])
    manager.close()


def test_early_labels_may_name_what_is_to_come(base: Path) -> None:
    manager = Manager(Servable, early_labels=True)
    model = Model("half", base)
    manager.apply([replace(model, labels={"champion": 1, "next": 9})])
    with pytest.raises(ServingError, match=r"Specific\(half, 9\)"):
        ask(manager, label="next")
    with pytest.raises(ServingError, match="version 9 of model half"):
        manager.apply([replace(model, labels={"champion": 9})])
    assert ask(manager, label="champion") == 1.0
    manager.close()


def test_a_reload_adds_and_removes_models_or_changes_nothing(
    manager: Manager, base: Path, version_folders: Path, tmp_path: Path
) -> None:
    half, other = Model("half", base), Model("other", version_folders)
    manager.apply([half])
    manager.apply([half, other])
    assert ask(manager, "other") == 2.0
    broken = tmp_path / "broken"
    broken.mkdir()
    break_model(copy_model(version_folders / "1", broken, 1))
    for bad in (
        Model("bad", tmp_path / "nowhere"),
        Model("bad", broken),
        replace(half, specific=frozenset({1}), labels={"x": 3}),
    ):
        with pytest.raises(ServingError, match=r"base path|did not become available|label"):
            manager.apply([bad])
        assert manager.available() == {"half": [1], "other": [2]}
        assert ask(manager, "other") == 2.0
    manager.apply([other])
    assert manager.available() == {"other": [2]}
    with pytest.raises(ServingError, match=r"Latest\(half\)"):
        ask(manager)


def test_the_first_version_must_load(manager: Manager, base: Path) -> None:
    break_model(base / "1")
    with pytest.raises(
        ServingError, match=r"servable\(s\) did not become available: \{\{\{name: half"
    ):
        manager.apply([Model("half", base)])
    assert manager.available() == {}
