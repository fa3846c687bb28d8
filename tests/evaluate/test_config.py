"""The options: the defaults stand, and what is mistyped is refused with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import ConfigError
from pipeline.evaluate import STAGE
from pipeline.evaluate.agreement import refuse_foreign_metrics
from pipeline.evaluate.catalog import HEADLINE, METRICS, of_task

DEFAULTS = Path(__file__).parents[2] / "configs" / "evaluate" / "default.yaml"


def configured(**changes):
    plain = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    return STAGE.configure({"evaluate": plain | changes, "register": {"name": "toy"}})


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_default_thresholds_suit_every_task_and_judge_its_quality(task):
    thresholds = configured().evaluate.thresholds
    refuse_foreign_metrics(thresholds, task)
    assert {metric.name for metric in of_task(task)} & set(thresholds)


def test_a_mistyped_metric_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"(?s)evaluate\.thresholds\.acuracy.*perhaps accuracy"):
        configured(thresholds={"acuracy": {"min": 0.5, "if_defined": True}})


def test_a_mistyped_bound_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"(?s)evaluate\.thresholds\.auc\.slice_mn.*slice_min"):
        configured(thresholds={"auc": {"slice_mn": 0.5}})


def test_a_cost_is_not_compared_with_other_models_or_slices():
    with pytest.raises(ConfigError, match="only min and max for model_bytes, which is a cost"):
        configured(thresholds={"model_bytes": {"gain_over_champion": 0.0}})


def test_a_metric_of_another_task_is_refused_unless_marked():
    options = configured(thresholds={"auc": {"min": 0.5}}).evaluate
    with pytest.raises(ConfigError, match=r"thresholds\.auc: a regression task.*(?s:.*)mae"):
        refuse_foreign_metrics(options.thresholds, "regression")
    marked = configured(thresholds={"auc": {"min": 0.5, "if_defined": True}}).evaluate
    refuse_foreign_metrics(marked.thresholds, "regression")


def test_every_headline_is_a_metric_of_its_task():
    assert all(task in METRICS[name].tasks for task, name in HEADLINE.items())
