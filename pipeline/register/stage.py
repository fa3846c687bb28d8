"""The door of `register`: gate, version, alias, record."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.core.artifacts import Artifacts
from pipeline.core.console import progress, say
from pipeline.core.errors import ConfigError, GateRefused
from pipeline.core.model import load_model
from pipeline.core.promotions import append_promotion, champions, new_promotion, read_promotions
from pipeline.core.records import Registration, TrainingRecord, Verdict
from pipeline.core.saved_model import write_saved_model
from pipeline.core.stage import Context
from pipeline.core.tracking import TrackingConfig, open_registry
from pipeline.core.tracking_flush import parent_run
from pipeline.core.tracking_registry import SAVED_MODEL, Alias, ModelVersion, Registry
from pipeline.register.config import RegisterConfig, RegisterStageConfig
from pipeline.register.facts import version_tags
from pipeline.register.package import package


def run(config: RegisterStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Makes the validated model a version of the registry; the same model only once.

    Raises:
        GateRefused: There is no verdict, it is REJECTED, or it judged another model.
        PipelineError: The store cannot be used.
    """
    training = artifacts.training.read()
    name = config.register.name
    if context.experiment is not None:
        _register_nothing(artifacts, name, training, context.experiment)
        return
    verdict = require_validated(artifacts, training.model_hash)
    registry = open_registry(context.root, _tracking(context))
    with registry.locked():
        known = registry.with_hash(name, training.model_hash)
        version = known or _new_version(config, artifacts, context, registry, verdict)
        alias = give_alias(registry, version, artifacts.promotions)
    _record(artifacts, context, version, alias)
    news = "is known as" if known else "became"
    say(f"the model {news} {name} version {version.version} ({alias})")


def require_validated(artifacts: Artifacts, model_hash: str) -> Verdict:
    """The verdict on exactly this model, if it passed.

    Raises:
        GateRefused: There is no verdict, it is REJECTED, or it judged another model.
    """
    if not artifacts.verdict.path.exists():
        raise GateRefused(
            f"there is no {artifacts.verdict.path.name}: nobody has judged the model",
            expected="the verdict VALIDATED",
            remedy="run `pipeline run`",
        )
    verdict = artifacts.verdict.read()
    if verdict.verdict != "VALIDATED":
        reasons = "".join(f"\n  - {reason}" for reason in verdict.reasons)
        raise GateRefused(
            f"the model is {verdict.verdict} and is not registered:{reasons}",
            expected="every threshold of `evaluate` kept",
            remedy="train a better model, or change evaluate.thresholds with good reason",
        )
    if verdict.model_hash != model_hash:
        raise GateRefused(
            f"the verdict is on model {verdict.model_hash[:12]}, not on {model_hash[:12]}",
            expected="a verdict on the model that is trained now",
            remedy="run `pipeline run`: it evaluates the present model first",
        )
    return verdict


def give_alias(registry: Registry, version: ModelVersion, promotions: Path) -> Alias:
    """Makes the first version the champion, and any other the challenger; says which.

    The history is told of a first champion; where a kill kept it from being told, now.
    """
    champion = registry.champion(version.name)
    if champion is not None and champion.version != version.version:
        registry.set_alias(version.name, "challenger", version.version)
        return "challenger"
    if champion is None:
        registry.set_alias(version.name, "champion", version.version)
    if not champions(read_promotions(promotions), version.name):
        first = new_promotion(
            version.name,
            "registered",
            None,
            version.version,
            reason="the first version",
            verdict=version.verdict,
            model_hash=version.model_hash,
        )
        append_promotion(promotions, first)
    return "champion"


def _new_version(
    config: RegisterStageConfig,
    artifacts: Artifacts,
    context: Context,
    registry: Registry,
    verdict: Verdict,
) -> ModelVersion:
    tags = version_tags(artifacts, context.journal, verdict, config.data_name)
    with tempfile.TemporaryDirectory() as folder, progress("registering", 3) as advance:
        model = _packed(config.register, artifacts, Path(folder))
        advance(1, "packed")
        run_id = parent_run(context.root, context.journal.run_key, _tracking(context))
        advance(1, "run found")
        version = registry.add(config.register.name, model, run_id, tags)
        advance(1, "version made")
    return version


def _packed(config: RegisterConfig, artifacts: Artifacts, folder: Path) -> Path:
    features = artifacts.features.read()
    columns = [column.name for column in features.columns]
    example = artifacts.split("test").read(columns).head(config.example_rows)
    saved_model = folder / SAVED_MODEL
    write_saved_model(load_model(artifacts.model), features, saved_model, None)
    return package(saved_model, features, example, folder)


def _record(artifacts: Artifacts, context: Context, version: ModelVersion, alias: Alias) -> None:
    artifacts.registration.write(
        Registration(
            name=version.name,
            version=version.version,
            model_hash=version.model_hash,
            run_id=version.run_id or None,
            alias=alias,
        )
    )
    tags = {"registry.name": version.name, "registry.version": str(version.version)}
    context.journal.tags({**tags, "registry.alias": alias})
    context.journal.artifact(artifacts.registration.path)


def _register_nothing(
    artifacts: Artifacts, name: str, training: TrainingRecord, experiment: str
) -> None:
    artifacts.registration.write(
        Registration(
            name=name, version=None, model_hash=training.model_hash, run_id=None, alias=None
        )
    )
    say(f"experiment {experiment}: nothing is registered; `pipeline run` with its values does")


def _tracking(context: Context) -> TrackingConfig:
    if context.tracking is None:
        raise ConfigError("config key 'tracking' is missing", remedy="run `pipeline run`")
    return context.tracking
