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
from pipeline.core.warm_start import SCHEME, file_origin, registered_parts, version_origin

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
    if source.startswith(SCHEME):
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
    return EarlierModel(file_origin(source, path), weights, model.features)


def _registered(source: str, root: Path, tracking: TrackingConfig | None) -> EarlierModel:
    if tracking is None:
        raise ConfigError("config key 'tracking' is missing", remedy="run `pipeline run`")
    registry = open_registry(root, tracking)
    name, alias, number = registered_parts(source)
    if alias:
        bearers = registry.aliases(name)
        if alias not in bearers:
            known = ", ".join(f"@{one}" for one in bearers) or "none"
            near = nearest(name, registry.names())
            raise ConfigError(
                f"train.warm_start={source}: the registry has no such model",
                expected=f"an alias of '{name}'; it has {known}",
                remedy=f"did you mean {SCHEME}{near[0]}@{alias}?"
                if near and near[0] != name
                else "train and register one first, or set train.warm_start=null",
            )
        number = bearers[alias]
    version = registry.version(name, number)
    folder = registry.saved_model(version)
    features = build(FeatureSet, read_json(folder.parent / "rows" / "features.json"), "features")
    origin = version_origin(name, version.version)
    return EarlierModel(origin, _saved_weights(folder), features)


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
    """Copies every weight that has its like in the core; names those that begin anew, and why.

    Names and shapes decide. Columns that are new, gone, or have other words than they had are
    named too: a row of an embedding then stands for another word than it did.

    Raises:
        ConfigError: Nothing fits, so nothing would be warm.
    """
    copied, anew = [], []
    for variable in core.weights:
        saved = earlier.weights.get(variable.path)
        if saved is None:
            anew.append(f"{variable.path} (not there)")
        elif saved.shape != tuple(variable.shape):
            anew.append(f"{variable.path} ({saved.shape} there, {tuple(variable.shape)} here)")
        else:
            variable.assign(saved)
            copied.append(variable.path)
    if not copied:
        raise ConfigError(
            f"train.warm_start: no weight of {earlier.where} fits this model: {_listed(anew)}",
            expected="layers of the same names and shapes",
            remedy="choose the model options it was trained with, or set train.warm_start=null",
        )
    say(f"warm start from {earlier.where}: {len(copied)} of {len(core.weights)} weights copied")
    if anew:
        say(f"  beginning anew: {_listed(anew)}")
    changed = _changed_inputs(earlier.features, features)
    if changed:
        say(f"  columns that it knew otherwise: {_listed(changed)}")


def _changed_inputs(before: FeatureSet, now: FeatureSet) -> list[str]:
    """Features that only one of them has, or whose words differ."""

    def words(features: FeatureSet) -> dict[str, object]:
        return {one.name: getattr(one, "vocabulary", ()) for one in features.features}

    old, new = words(before), words(now)
    absent = object()
    return [name for name in {**old, **new} if old.get(name, absent) != new.get(name, absent)]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
