"""models.config: what TensorFlow Serving itself reads in it."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError
from pipeline.core.promotions import append_promotion, new_promotion
from pipeline.core.serving_config import (
    ServedModel,
    publish_serving_config,
    read_serving_config,
    serving_config_text,
)

VERSIONS = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
MODELS = st.lists(
    st.builds(
        ServedModel,
        name=TEXT,
        base_path=TEXT,
        versions=st.lists(VERSIONS, max_size=4, unique=True).map(tuple),
        labels=st.dictionaries(TEXT, VERSIONS, max_size=3),
    ),
    max_size=3,
)


def parsed(text: str) -> list[ServedModel]:
    """What the real protobuf parser understands."""
    message = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return [
        ServedModel(
            name=one.name,
            base_path=one.base_path,
            versions=tuple(one.model_version_policy.specific.versions),
            labels=dict(one.version_labels),
        )
        for one in message.model_config_list.config
    ]


@given(models=MODELS)
def test_what_is_written_is_what_the_real_parser_reads(tmp_path_factory, models):
    text = serving_config_text(models)
    assert parsed(text) == models
    path = tmp_path_factory.mktemp("config") / "models.config"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_serving_config(path) == models


def test_a_file_written_by_hand_or_by_protobuf_is_read(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(
        """
        # two models
        model_config_list: <
          config { name: 'a "b"' base_path: "/m/a" model_platform: "tensorflow",
            model_version_policy: { specific: { versions: [1, 2] } };
            version_labels { key: "stable" value: 1 } }
          config: { name: "c"; base_path: "/m/\\"c\\"" model_version_policy { all {} } }
        >
        """.replace("'", '"').replace('a "b"', "a b")
    )
    expected = [
        ServedModel("a b", "/m/a", (1, 2), {"stable": 1}),
        ServedModel("c", '/m/"c"'),
    ]
    assert read_serving_config(path) == expected == parsed(path.read_text())


@pytest.mark.parametrize("text", ["model_config_list { config { name: 'x }", "?", "config {"])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ config {{ {text}")
    with pytest.raises(PipelineError, match=r"models.config is damaged"):
        read_serving_config(path)


def export(artifacts: Artifacts, name: str, *versions: int) -> None:
    for version in versions:
        folder = artifacts.serving / name / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").touch()


def test_labelled_versions_and_the_former_champion_are_loaded(tmp_path):
    artifacts = Artifacts(tmp_path)
    export(artifacts, "flights", 1, 2, 3, 4)
    export(artifacts, "penguins", 7)
    (artifacts.serving / "half").mkdir()
    (artifacts.serving / "flights" / "5").mkdir()  # without a model
    for before, after in ((None, 1), (1, 2), (2, 3)):
        change = new_promotion(
            "flights", "promoted", before, after, reason="", verdict="", model_hash=""
        )
        append_promotion(artifacts.promotions, change)
    aliases = {"flights": {"champion": 3, "challenger": 4, "gone": 99}}
    models = publish_serving_config(artifacts, lambda name: aliases.get(name, {}))
    assert models == [
        ServedModel(
            "flights",
            str(tmp_path / "models/serving/flights"),
            (2, 3, 4),
            {"challenger": 4, "champion": 3},
        ),
        ServedModel("penguins", str(tmp_path / "models/serving/penguins")),
    ]
    assert parsed(artifacts.serving_config.read_text()) == models
    assert read_serving_config(artifacts.serving_config) == models
