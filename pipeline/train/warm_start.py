"""Warm start: weights of an earlier model, copied into the layers that they fit.

They are told apart by the path Keras gives a weight (`hidden_1/kernel`) and by shape. A `.keras`
file of `train` has them; of a registered version the SavedModel has, under the same names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.artifacts import TRAINED, read_json
from pipeline.core.console import say
from pipeline.core.errors import ConfigError, PipelineError, nearest
from pipeline.core.features import FeatureSet
from pipeline.core.model import core_of, load_model
from pipeline.core.schema import build
from pipeline.core.tracking import TrackingConfig, open_registry

_SCHEME = "models:/"
_NAMES_SHOWN = 8


@dataclass(frozen=True)
class EarlierModel:
    """The weights to begin with.

    Attributes:
        where: What it is, for people: a path, or name and version.
        weights: Arrays by the path of the weight in its core.
        features: What it was fitted with.
    """

    where: str
    weights: Mapping[str, NDArray[Any]]
    features: FeatureSet

    @property
    def digest(self) -> str:
        """SHA-256, in hex, over names and weights: another champion is another training."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.weights.items()):
            digest.update(f"{name}{weight.dtype.str}{weight.shape}".encode())
            digest.update(weight.tobytes())
        return digest.hexdigest()


def earlier_model(
    source: str | None, root: Path, tracking: TrackingConfig | None
) -> EarlierModel | None:
    """What `train.warm_start` names; None where it names nothing.

    Args:
        source: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, the path of a .keras file, or None.
        root: The project; paths are relative to it.
        tracking: Which registry.

    Raises:
        ConfigError: The file is the stage's own output, or there is no such version.
        PipelineError: The file or the registry's files are missing or damaged.
    """
    if source is None:
        return None
    if source.startswith(_SCHEME):
        return _registered(source, root, tracking)
    path = (root / source).resolve()
    if path.is_relative_to((root / TRAINED).resolve()):
        raise ConfigError(
            f"train.warm_start={source} is what `train` writes; it is removed before it trains",
            expected="a model that stays",
            remedy="copy the file elsewhere, or name a registered one: models:/NAME@champion",
        )
    model = load_model(path)
    weights = {v.path: keras.ops.convert_to_numpy(v) for v in core_of(model).variables}
    return EarlierModel(source, weights, model.features)


def _registered(source: str, root: Path, tracking: TrackingConfig | None) -> EarlierModel:
    if tracking is None:
        raise ConfigError("config key 'tracking' is missing", remedy="run `pipeline run`")
    registry = open_registry(root, tracking)
    name, alias, number = _parts(source)
    if alias:
        bearers = registry.aliases(name)
        if alias not in bearers:
            known = ", ".join(f"@{one}" for one in bearers) or "none"
            near = nearest(name, registry.names())
            raise ConfigError(
                f"train.warm_start={source}: the registry has no such model",
                expected=f"an alias of '{name}'; it has {known}",
                remedy=f"did you mean {_SCHEME}{near[0]}@{alias}?"
                if near and near[0] != name
                else "train and register one first, or set train.warm_start=null",
            )
        number = bearers[alias]
    version = registry.version(name, number)
    folder = registry.saved_model(version)
    features = build(FeatureSet, read_json(folder.parent / "rows" / "features.json"), "features")
    return EarlierModel(f"{name} version {version.version}", _saved_weights(folder), features)


def _parts(source: str) -> tuple[str, str, int]:
    """Name, alias and version number; the alias is empty where a number stands."""
    name, _, alias = source.removeprefix(_SCHEME).partition("@")
    if alias:
        return name, alias, 0
    name, _, number = name.rpartition("/")
    return name, "", int(number)


def _saved_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Variables of a SavedModel by the names they had in Keras (TrackableObjectGraph.full_name)."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        graph = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        return {
            entry.full_name: reader.get_tensor(entry.checkpoint_key)
            for node in graph.nodes
            for entry in node.attributes
        }
    except (tf.errors.OpError, ValueError) as error:
        raise PipelineError(
            f"the weights in {folder} cannot be read: {error}",
            remedy="name another version, or set train.warm_start=null",
        ) from error


def copy_weights(earlier: EarlierModel, core: keras.Model, features: FeatureSet) -> None:
    """Copies every weight that has its like in the core; says which layers begin anew and why.

    States of random generators are left alone. Weights that read columns are copied only where
    both models were fitted with the same columns, words and order: row 7 of an embedding must
    stand for the same word. Statistics may differ.

    Raises:
        ConfigError: Nothing fits, so nothing would be warm.
    """
    same_inputs = _inputs(earlier.features) == _inputs(features)
    kept, fresh = [], []
    readers = set() if same_inputs else _readers(core)
    for variable in core.weights:
        saved = earlier.weights.get(variable.path)
        layer = variable.path.split("/")[0]
        if saved is None:
            fresh.append(f"{variable.path} (not in the earlier model)")
        elif saved.shape != tuple(variable.shape):
            fresh.append(f"{variable.path} ({list(saved.shape)} there, {list(variable.shape)} here)")
        elif layer in readers:
            fresh.append(f"{variable.path} (the columns differ)")
        else:
            variable.assign(saved)
            kept.append(variable.path)
    if not kept:
        raise ConfigError(
            f"train.warm_start: no weight of {earlier.where} fits this model",
            expected="layers of the same names and shapes",
            remedy="choose the model options it was trained with, or set train.warm_start=null;"
            f" here: {_listed(fresh)}",
        )
    say(f"warm start from {earlier.where}: {len(kept)} of {len(core.weights)} weights copied")
    if fresh:
        say(f"beginning anew: {_listed(fresh)}")


def _inputs(features: FeatureSet) -> Any:
    """What decides the meaning of the core's inputs: names and words, in their order."""
    return (
        features.dense_names,
        [(column.name, column.words) for column in features.index_columns],
    )


def _readers(core: keras.Model) -> set[str]:
    """Layers with weights that have no other such layer between them and the inputs."""
    found = set()
    seen: set[int] = set()

    def visit(tensor: Any) -> bool:
        """Whether `tensor` comes from the inputs past no layer with weights."""
        layer, node, _ = tensor._keras_history
        raw = all(visit(one) for one in layer._inbound_nodes[node].input_tensors)
        if not layer.weights:
            return raw
        if raw:
            found.add(layer.name)
        return False

    del seen
    visit(core.output)
    return found


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
