"""`pipeline promote`, `rollback` and `history`: who is champion, and how that came about.

Three things change together: the alias in the registry, the history, and the labels that the
server reads. The intent is written down first and the alias is the truth: after a kill the next
command finds the intent and, if the alias has moved, does the rest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.compose.params import read_params
from pipeline.core.artifacts import STATE, Artifacts, Record
from pipeline.core.console import say
from pipeline.core.errors import ConfigError, GateRefused
from pipeline.core.promotions import (
    Action,
    Promotion,
    append_promotion,
    champions,
    new_promotion,
    read_promotions,
)
from pipeline.core.schema import build, dump, lookup
from pipeline.core.serving_config import exported_versions, publish_serving_config
from pipeline.core.tracking import TrackingConfig, open_registry

_HISTORY_WIDTH = 120
"""Characters that a history line takes with room for its reason."""

if TYPE_CHECKING:
    from pipeline.core.tracking_registry import ModelVersion, Registry


def promote(root: Path, version: int, *, reason: str) -> None:
    """Makes a validated, exported version the champion.

    Args:
        root: The project folder.
        version: Registry version of the model that params.yaml names.
        reason: Why; kept in the history.

    Raises:
        GateRefused: It has no passing verdict or is not exported; every reason is named.
        PipelineError: There is no such version, or the store cannot be used.
    """
    name, registry = _registry(root)
    with registry.locked():
        _settle(root, name, registry)
        chosen = registry.version(name, version)
        _pass_gate(Artifacts(root), chosen)
        _move(root, registry, chosen, "promoted", reason)


def rollback(root: Path, version: int | None, *, reason: str) -> None:
    """Makes the champion before the present one, or an earlier one, the champion again.

    Args:
        root: The project folder.
        version: A former champion; None: the one before the present.
        reason: Why; kept in the history.

    Raises:
        GateRefused: There is no former champion, `version` never was one, or it is no longer
            exported.
        PipelineError: The store cannot be used.
    """
    name, registry = _registry(root)
    with registry.locked():
        _settle(root, name, registry)
        former = champions(read_promotions(Artifacts(root).promotions), name)[:-1]
        number = _former(name, former, version)
        chosen = registry.version(name, number)
        refused = _not_exported(Artifacts(root), chosen)
        if refused:
            raise GateRefused(refused[0], remedy=_export_again(chosen))
        _move(root, registry, chosen, "rolled_back", reason)


def print_history(root: Path, *, as_json: bool) -> None:
    """Prints every change of the champion, oldest first."""
    if _intent(root).path.exists():
        name, registry = _registry(root)
        with registry.locked():
            _settle(root, name, registry)
    promotions = read_promotions(Artifacts(root).promotions)
    if as_json:
        say(json.dumps([dump(promotion) for promotion in promotions], indent=2))
    elif not promotions:
        say("nothing was promoted yet")
    else:
        _print_table(promotions)


def _registry(root: Path) -> tuple[str, Registry]:
    params = read_params(root)
    name = lookup(params, "register.name")
    if not isinstance(name, str):
        raise ConfigError("config key 'register.name' is no text", remedy="run `pipeline run`")
    tracking = build(TrackingConfig, lookup(params, "tracking"), "tracking")
    return name, open_registry(root, tracking)


def _pass_gate(artifacts: Artifacts, version: ModelVersion) -> None:
    reasons = _not_exported(artifacts, version)
    if version.verdict != "VALIDATED":
        reasons.insert(0, f"its verdict is {version.verdict or 'missing'}")
    if reasons:
        listed = "".join(f"\n  - {reason}" for reason in reasons)
        raise GateRefused(
            f"{version.name} version {version.version} is not promoted:{listed}",
            expected="a version that is VALIDATED and exported",
            remedy=_export_again(version),
        )


def _not_exported(artifacts: Artifacts, version: ModelVersion) -> list[str]:
    if version.version in exported_versions(artifacts, version.name):
        return []
    folder = artifacts.serving / version.name / str(version.version)
    return [f"it is not exported: {folder.relative_to(artifacts.root)} does not stand here"]


def _export_again(version: ModelVersion) -> str:
    commit = version.tags.get("git.commit", "")
    back = f"check out commit {commit[:12]}, then " if commit else ""
    return f"{back}run `dvc pull` or `pipeline run`; export.keep_versions says how many stay"


def _former(name: str, former: list[int], version: int | None) -> int:
    if not former:
        raise GateRefused(
            f"{name} has no former champion to return to", remedy="see `pipeline history`"
        )
    if version is None:
        return former[-1]
    if version not in former:
        known = ", ".join(str(number) for number in dict.fromkeys(former))
        raise GateRefused(
            f"{name} version {version} is no former champion",
            expected=f"one of {known}",
            remedy=f"`pipeline promote {version}` takes any validated version",
        )
    return version


def _move(
    root: Path, registry: Registry, version: ModelVersion, action: Action, reason: str
) -> None:
    champion = registry.champion(version.name)
    if champion is not None and champion.version == version.version:
        say(f"{version.name} version {version.version} is the champion already")
        return
    intent = new_promotion(
        version.name,
        action,
        champion.version if champion else None,
        version.version,
        reason=reason,
        verdict=version.verdict,
        model_hash=version.model_hash,
    )
    _intent(root).write(intent)
    registry.set_alias(version.name, "champion", version.version)
    _settle(root, version.name, registry)
    before = f", in place of version {champion.version}" if champion else ""
    say(f"{version.name} version {version.version} is the champion now{before}")


def _settle(root: Path, name: str, registry: Registry) -> None:
    """Brings history and labels up to the registry; also after a kill or a move by others."""
    artifacts = Artifacts(root)
    intent = _intent(root)
    if intent.path.exists():
        promotion = intent.read()
        if registry.aliases(promotion.name).get("champion") == promotion.to_version:
            append_promotion(artifacts.promotions, promotion)
        intent.path.unlink()
    aliases = registry.aliases(name)
    champion = aliases.get("champion")
    if champion is not None and aliases.get("challenger") == champion:
        registry.drop_alias(name, "challenger")
    line = champions(read_promotions(artifacts.promotions), name)
    if champion is not None and line[-1:] != [champion]:
        _write_down_found(artifacts, registry, line, registry.version(name, champion))
    if artifacts.serving.exists():
        publish_serving_config(artifacts, registry.aliases)


def _write_down_found(
    artifacts: Artifacts, registry: Registry, line: list[int], version: ModelVersion
) -> None:
    found = new_promotion(
        version.name,
        "found",
        line[-1] if line else None,
        version.version,
        reason=f"found so in {registry.store.where}",
        verdict=version.verdict,
        model_hash=version.model_hash,
    )
    append_promotion(artifacts.promotions, found)


def _intent(root: Path) -> Record[Promotion]:
    return Record(root / STATE / "promotion.json", Promotion)


def _print_table(promotions: list[Promotion]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("when", "model", "from", "to", "how", "who", "verdict", "hash", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    for one in promotions:
        before = "" if one.from_version is None else str(one.from_version)
        how = one.action.replace("_", " ")
        facts = (one.when, one.name, before, str(one.to_version), how, one.who, one.verdict)
        # A reason may hold brackets, which Rich would take for its markup.
        table.add_row(*facts, one.model_hash[:12], escape(one.reason))
    # Rich would cut dates and hashes short to fit 80 columns, which it also takes a pipe to have.
    Console(width=max(Console().width, _HISTORY_WIDTH)).print(table)
