"""Versions on disk, policies, labels and reloads, as TensorFlow Serving's own tests hold them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from pipeline.core.errors import PipelineError
from pipeline.serve.models import Model
from tests.serve.conformance import Conformance, asked, connected, refused, write_half_plus_two
from tests.serve.in_process import serving, until

AVAILABLE, END = 30, 50


@pytest.mark.parametrize(
    ("names", "policy", "aspired"),
    [
        (["non_numerical_child"], {}, {}),
        (["non_numerical_child", "42", "17"], {}, {42: "42"}),
        (["42", "33", "30", "21", "17"], {"newest": 3}, {42: "42", 33: "33", 30: "30"}),
        (["42", "17", "x"], {"newest": 5}, {42: "42", 17: "17"}),
        (["42", "17", "x"], {"newest": 0}, {42: "42", 17: "17"}),
        (["42", "30", "17"], {"specific": {17, 30}}, {17: "17", 30: "30"}),
        (["42", "30", "00017"], {"specific": {17, 30}}, {17: "00017", 30: "30"}),
        (["42", "30", "17"], {"specific": {7}}, {}),
        (["42", "30", "17"], {"specific": set()}, {}),
        (["1", "02", "3", "5", "8", "13"], {"specific": {2, 5}}, {2: "02", 5: "5"}),
        (["0"], {}, {0: "0"}),
        (["20170111173521"], {"newest": 0}, {20170111173521: "20170111173521"}),
        (["9223372036854775807"], {}, {2**63 - 1: "9223372036854775807"}),
        (["9223372036854775808", "1"], {}, {1: "1"}),
        (["0001", "001", "00001"], {}, {1: "001"}),
        (["2.denied", "1_0", "1e3", "0x1", "²", "٣", ".5"], {"newest": 0}, {}),
        (["+7", "-3", " 5"], {"newest": 0}, {7: "+7", -3: "-3", 5: " 5"}),
    ],
)
def test_which_folders_are_versions(
    tmp_path: Path, names: list[str], policy: dict[str, object], aspired: dict[int, str]
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    found = replace(Model("a", tmp_path), **policy).aspired()
    assert found == {version: tmp_path / name for version, name in aspired.items()}


@dataclass(frozen=True)
class Disk:
    """A server that polls its disk, and the base path of its model `half`."""

    base: Path
    server: Conformance

    def add(self, name: str, base: Path | None = None) -> Path:
        """Publishes a version; every version is a copy of the first."""
        folder = (base or self.base) / name
        shutil.copytree(self.base.parent / "first", folder.with_name(f"{name}.partly"))
        return folder.with_name(f"{name}.partly").rename(folder)

    def states(self, model: str = "half") -> dict[int, int]:
        """States by version; empty where the server knows of none."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        answer = self.server.models.GetModelStatus(request, timeout=60)
        return {one.version: one.state for one in answer.model_version_status}

    def become(self, *models: dict[str, object]) -> model_management_pb2.ReloadConfigRequest:
        """A reload request for these models; platform and base path may be left out."""
        listed = model_server_config_pb2.ModelConfigList()
        for model in models:
            given = {"base_path": str(self.base), "model_platform": "tensorflow"} | model
            listed.config.add(**given)
        config = model_server_config_pb2.ModelServerConfig(model_config_list=listed)
        return model_management_pb2.ReloadConfigRequest(config=config)

    def reload(self, *models: dict[str, object]) -> None:
        """Sends what `become` makes."""
        answer = self.server.models.HandleReloadConfigRequest(self.become(*models), timeout=60)
        assert answer.status.error_code == 0

    def version(self, name: str = "half", label: str = "") -> int:
        """Which version answers."""
        made = asked(name, x=np.float32([[2]]))
        if label:
            made.model_spec.version_label = label
        return self.server.predictions.Predict(made, timeout=60).model_spec.version.value


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    write_half_plus_two(tmp_path / "first")
    base = tmp_path / "half"
    shutil.copytree(tmp_path / "first", base / "1")
    with serving(base, "--file_system_poll_wait_seconds=0.05") as server, connected(server) as one:
        yield Disk(base, one)


ALL = {"model_version_policy": {"all": {}}}


def test_policies_and_what_is_left_of_versions_that_went(disk: Disk) -> None:
    disk.add("2")
    until(lambda: disk.states() == {2: AVAILABLE, 1: END})
    assert list(disk.states()) == [2, 1], "newest first"
    disk.reload({"name": "half", **ALL})
    until(lambda: disk.states() == {2: AVAILABLE, 1: AVAILABLE})
    disk.add("0012")
    until(lambda: disk.states() == dict.fromkeys((12, 2, 1), AVAILABLE))
    disk.reload({"name": "half", "model_version_policy": {"specific": {"versions": [2]}}})
    until(lambda: disk.states() == {12: END, 2: AVAILABLE, 1: END})
    disk.reload({"name": "half", "model_version_policy": {"latest": {"num_versions": 2}}})
    until(lambda: disk.states() == {12: AVAILABLE, 2: AVAILABLE, 1: END})
    disk.reload({"name": "half", "model_version_policy": {"specific": {}}})
    until(lambda: set(disk.states().values()) == {END})
    assert refused(disk.server.predictions.Predict, asked("half", x=np.float32([[2]]))) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(half)",
    )


def test_a_renamed_folder_is_no_version_any_more(disk: Disk) -> None:
    disk.add("2")
    until(lambda: disk.version() == 2)
    (disk.base / "2").rename(disk.base / "2.denied")
    until(lambda: disk.states() == {2: END, 1: AVAILABLE})
    assert disk.version() == 1
    shutil.rmtree(disk.base / "1")
    until(lambda: disk.states() == {2: END, 1: END})


def test_models_come_and_go(disk: Disk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    disk.add("5", other)
    disk.reload({"name": "half"}, {"name": "other", "base_path": str(other)})
    assert disk.version("other") == 5
    disk.reload({"name": "other", "base_path": str(other)})
    until(lambda: disk.states() == {1: END})
    assert refused(disk.server.predictions.Predict, asked("half", x=np.float32([[2]])))[0] == (
        "NOT_FOUND"
    )
    disk.reload()
    until(lambda: disk.states("other") == {5: END})
    disk.reload({"name": "half"})
    assert (disk.states(), disk.version()) == ({1: AVAILABLE}, 1)


def test_a_model_moves_to_another_base_path_and_back(disk: Disk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    disk.add("7", other)
    disk.reload({"name": "half", "base_path": str(other)})
    until(lambda: disk.states() == {7: AVAILABLE, 1: END})
    assert disk.version() == 7
    disk.reload({"name": "half"})
    until(lambda: disk.states() == {7: END, 1: AVAILABLE})


def test_labels(disk: Disk) -> None:
    disk.add("2")
    disk.reload({"name": "half", **ALL})
    until(lambda: disk.states() == {2: AVAILABLE, 1: AVAILABLE})
    disk.reload({"name": "half", **ALL, "version_labels": {"A": 1, "B": 2}})
    assert (disk.version(label="A"), disk.version(label="B")) == (1, 2)
    for labels in ({"nice try": 9}, {"A": 9}, {"A": 1, "B": 0}):
        wrong = disk.become({"name": "half", **ALL, "version_labels": labels})
        code, words = refused(disk.server.models.HandleReloadConfigRequest, wrong)
        bad = next(version for version in labels.values() if version in {0, 9})
        assert (code, words) == (
            "FAILED_PRECONDITION",
            (
                f"Request to assign label to version {bad} of model half, which is not currently "
                "available for inference"
            ),
        )
        assert (disk.version(label="A"), disk.version(label="B")) == (1, 2)
    disk.reload({"name": "half", **ALL, "version_labels": {"A": 2}})
    assert disk.version(label="A") == 2
    made = asked("half", x=np.float32([[2]]))
    made.model_spec.version_label = "B"
    assert refused(disk.server.predictions.Predict, made) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: B",
    )


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (
            "empty",
            5,
            (
                "Could not find SavedModel .pb or .pbtxt at supplied export directory path: .../9. "
                "Check that the directory exists and that you have the right permissions for "
                "accessing it."
            ),
        ),
        ("cut", 15, "Can't parse .../9/saved_model.pb as binary proto"),
        ("file", 5, "Could not find SavedModel .pb or .pbtxt at supplied export directory path: "),
        ("warmup", 3, "Failed to parse warmup record: it is no PredictionLog"),
    ],
)
def test_a_version_that_does_not_load(disk: Disk, spoil: str, code: int, words: str) -> None:
    aside = disk.base / "aside"
    if spoil == "file":
        aside.write_bytes(b"no folder")
    elif spoil == "empty":
        aside.mkdir()
    else:
        shutil.copytree(disk.base / "1", aside)
    if spoil == "cut":
        (aside / "saved_model.pb").write_bytes((aside / "saved_model.pb").read_bytes()[:100])
    if spoil == "warmup":
        write_warmup(aside, b"\xff\xff")
    aside.rename(disk.base / "9")
    until(lambda: disk.states().get(9) == END)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name, request.model_spec.version.value = "half", 9
    (found,) = disk.server.models.GetModelStatus(request, timeout=60).model_version_status
    assert found.status.error_code == code
    assert found.status.error_message.startswith(words)
    assert disk.version() == 1


def write_warmup(folder: Path, record: bytes) -> None:
    (folder / "assets.extra").mkdir()
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)


def test_a_new_model_must_have_a_version_that_loads(disk: Disk, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "3").mkdir(parents=True)
    wrong = disk.become({"name": "half"}, {"name": "broken", "base_path": str(broken)})
    code, words = refused(disk.server.models.HandleReloadConfigRequest, wrong)
    assert code == "UNKNOWN"
    assert words.startswith(
        "1 model(s) did not become available: {{{name: broken version: 3} due to error: NOT_FOUND: "
        "Could not find SavedModel"
    )
    assert words.endswith("}, }")
    assert disk.version() == 1


def test_a_model_without_the_tags_that_are_asked_for(tmp_path: Path) -> None:
    write_half_plus_two(tmp_path / "half" / "1")
    words = (
        "1 servable(s) did not become available: {{{name: half version: 1} due to error: "
        "NOT_FOUND: Could not find meta graph def matching supplied tags: { gpu }. To inspect "
        "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`}, }"
    )
    with (
        pytest.raises(PipelineError, match=re.escape(words)),
        serving(tmp_path / "half", "--saved_model_tags=gpu"),
    ):
        pass
