"""Composes the config of each trial of a search, and checks the whole space before any runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.compose.compose import validate
from pipeline.compose.composition import compose_with_hydra
from pipeline.compose.files import read_groups
from pipeline.compose.naming import nearest_keys
from pipeline.compose.request import require_option
from pipeline.core.errors import ConfigError
from pipeline.core.schema import flatten
from pipeline.runner.stages import CONFIGURED
from pipeline.tune.space import Dimension, override

SECTIONS = frozenset({"model", "train"})
"""What a trial may change: the data is prepared already, and workers do not change the answer."""

_DECISIVE = (*sorted(SECTIONS), "strategy")
"""Sections that decide a trial's value; the strategy's scale the learning rate."""

_MOST_COMBINATIONS = 200


@dataclass
class TrialConfigs:
    """The configs of a search's trials.

    Attributes:
        root: The project.
        overrides: What all trials share.
        space: What they differ in.
    """

    root: Path
    overrides: Sequence[str]
    space: tuple[Dimension, ...]
    _composed: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def groups(self) -> frozenset[str]:
        """Keys of the space that are whole groups."""
        options = read_groups(self.root).options
        return frozenset(one.key for one in self.space if one.key in options)

    def known(self, chosen: Mapping[str, Any]) -> frozenset[str]:
        """Dotted keys of the config with these options of groups chosen."""
        return frozenset(flatten(self._shared(chosen)))

    def composed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The whole config with these values, checked.

        Raises:
            ConfigError: They do not go together.
        """
        params = compose_with_hydra(self.root, self.lines(values))
        validate(params, CONFIGURED)
        return params

    def lines(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides that compose to it."""
        return [*self.overrides, *(override(key, value) for key, value in values.items())]

    def check(self) -> None:
        """Refuses a space whose keys or values cannot be, before anything runs.

        Raises:
            ConfigError: A key is unknown or not for searching, an option does not exist, or a
                value at an end of its range is refused.
        """
        if not self.space:
            raise ConfigError(
                "tune.space is empty: there is nothing to search",
                expected="keys of train or model with what is tried",
                remedy="'+tune.space.train.optimizer.learning_rate={log: [1e-4, 1e-1]}'",
            )
        self._check_groups()
        self._check_keys()
        for values in self._extremes():
            try:
                self.composed(values)
            except ConfigError as error:
                tried = " ".join(override(key, value) for key, value in values.items())
                raise ConfigError(
                    f"tune.space holds what cannot be: {error.came}",
                    error.expected,
                    error.remedy or f"it was tried with {tried}",
                ) from error

    def identity(self) -> dict[str, Any]:
        """Whatever all trials share, by dotted key: two studies with the same one compare."""
        searched = {one.key for one in self.space}
        shared: dict[str, Any] = {
            f"space.{one.key}": [one.kind, list(one.values)] for one in self.space
        }
        for chosen in self._combinations():
            label = "".join(f"{group}={option}: " for group, option in chosen.items())
            params = self._shared(chosen)
            told = flatten({section: params[section] for section in _DECISIVE})
            shared |= {f"{label}{key}": value for key, value in told.items() if key not in searched}
        return shared

    def _shared(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What trials with these options of groups share."""
        name = str(sorted(chosen.items()))
        if name not in self._composed:
            self._composed[name] = compose_with_hydra(self.root, self.lines(chosen))
        return self._composed[name]

    def _combinations(self) -> list[dict[str, Any]]:
        """Every combination of the options of whole groups."""
        whole = [one for one in self.space if one.key in self.groups]
        combined = [
            dict(zip((one.key for one in whole), options, strict=True))
            for options in itertools.product(*(one.values for one in whole))
        ]
        if len(combined) > _MOST_COMBINATIONS:
            raise ConfigError(
                f"the groups of tune.space make {len(combined):,} combinations",
                expected=f"{_MOST_COMBINATIONS} at most",
                remedy="leave some options out",
            )
        return combined

    def _check_groups(self) -> None:
        groups = read_groups(self.root)
        for one in self.space:
            if one.key not in groups.options:
                continue
            if one.key not in SECTIONS or one.kind != "choice":
                raise ConfigError(
                    f"tune.space searches the group '{one.key}' by {one.kind}",
                    expected="{choice: [...]} of one of " + ", ".join(sorted(SECTIONS)),
                    remedy="a trial is one training in one process, on data prepared once",
                )
            for option in one.values:
                require_option(one.key, option, groups, f"tune.space.{one.key}")

    def _check_keys(self) -> None:
        known = frozenset[str]().union(*map(self.known, self._combinations()))
        for one in self.space:
            if one.key in self.groups or (one.key in known and _searchable(one.key)):
                continue
            if one.key in known:
                raise ConfigError(
                    f"tune.space searches '{one.key}', which a trial does not read",
                    expected="a key of " + ", ".join(sorted(SECTIONS)),
                    remedy="a trial is one training in one process, on data prepared once",
                )
            near = nearest_keys(one.key, filter(_searchable, known))
            raise ConfigError(
                f"tune.space searches '{one.key}', which is no key of the config",
                expected="a key of " + ", ".join(sorted(SECTIONS)),
                remedy=f"did you mean {' or '.join(near)}?" if near else "see configs/",
            )

    def _extremes(self) -> Iterator[dict[str, Any]]:
        """Compositions in which every value at an end of a range, and every choice, is tried."""
        for chosen in self._combinations():
            known = self.known(chosen)
            tried = [one for one in self.space if one.key in known and one.key not in self.groups]
            for turn in range(max([len(one.values) for one in tried], default=1)):
                yield chosen | {one.key: one.values[turn % len(one.values)] for one in tried}


def _searchable(key: str) -> bool:
    return any(key.startswith(f"{section}.") for section in SECTIONS)
