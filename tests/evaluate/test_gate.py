"""The gate: what passes, what does not, and why, for each kind of threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.bootstrap import Estimates
from pipeline.evaluate.evidence import CHAMPION, LINEAR, MODEL, Evidence
from pipeline.evaluate.gate import judge
from pipeline.evaluate.slices import Slice
from tests.evaluate.conftest import LABELS, options

COSTS = {"latency_one_row_p50_ms": 2.0, "model_bytes": 1000}


def estimates(spread: float = 0.0, **values: float) -> Estimates:
    """Metrics whose interval reaches `spread` to both sides."""
    around = np.linspace(-spread, spread, 201) * (1 / 0.95)
    samples = {name: value + around for name, value in values.items()}
    return Estimates(values, samples, 0.95)


def evidence(test: dict[str, Estimates], slices=(), version=None) -> Evidence:
    return Evidence(
        label=LABELS["binary"],
        test=test,
        validation=None,
        slices=tuple(slices),
        costs=COSTS,
        champion_version=version,
    )


def part(value: str, rows: int, found: Estimates) -> tuple[Slice, Estimates]:
    return Slice("city", value, np.ones(rows, bool)), found


def verdict(evidence: Evidence, benefit: bool = True, **thresholds):
    return judge(evidence, options(thresholds=thresholds, benefit_of_doubt=benefit), "abc")


@given(st.floats(0, 1), st.floats(0, 1))
def test_least_and_largest_values(value, bound):
    found = evidence({MODEL: estimates(0.1, auc=value)})
    least, largest = verdict(found, auc={"min": bound}), verdict(found, auc={"max": bound})
    assert (least.verdict == "VALIDATED") == (value >= bound)
    assert (largest.verdict == "VALIDATED") == (value <= bound)
    (check,) = least.checks
    assert (check.name, check.kind, check.greater_is_better) == ("auc.min", "absolute", True)
    assert (check.value, check.bound, check.slice) == (value, bound, None)


def test_a_refusal_says_metric_value_and_bound():
    found = verdict(evidence({MODEL: estimates(auc=0.61)}), auc={"min": 0.7})
    assert found.verdict == "REJECTED"
    assert found.reasons == ("auc is 0.61; auc.min asks for at least 0.7",)
    assert found.model_hash == "abc"


def test_an_undefined_metric_fails_its_threshold_and_says_so():
    found = verdict(evidence({MODEL: estimates(accuracy=1.0)}), auc={"min": 0.5})
    assert found.verdict == "REJECTED"
    assert found.checks[0].value is None
    assert found.reasons == ("auc is undefined on these rows; auc.min asks for at least 0.5",)


def test_costs_have_bounds_too():
    found = evidence({MODEL: estimates(auc=0.9)})
    bounds = {"model_bytes": {"max": 999}, "latency_one_row_p50_ms": {"max": 2.5}}
    judged = verdict(found, **bounds)
    assert [check.passed for check in judged.checks] == [False, True]
    assert {check.kind for check in judged.checks} == {"efficiency"}


@pytest.mark.parametrize(
    ("metric", "mine_and_champions", "spread", "benefit", "passed"),
    [
        ("auc", (0.80, 0.80), 0.01, True, True),
        ("auc", (0.80, 0.80), 0.01, False, False),  # not proven to be within 0.005
        ("auc", (0.80, 0.80), 0.001, False, True),
        ("auc", (0.78, 0.80), 0.01, True, False),  # -0.02 to -0.01 or so: proven worse
        ("auc", (0.79, 0.80), 0.02, True, True),
        ("log_loss", (0.52, 0.50), 0.01, True, False),
        ("log_loss", (0.48, 0.50), 0.01, False, True),
    ],
)
def test_the_gain_over_the_champion_is_judged_by_an_end_of_its_interval(
    metric, mine_and_champions, spread, benefit, passed
):
    mine, champions = mine_and_champions
    still = Estimates({metric: champions}, {metric: np.full(201, champions)}, 0.95)
    found = evidence({MODEL: estimates(spread, **{metric: mine}), CHAMPION: still}, version=7)
    judged = verdict(found, benefit, **{metric: {"gain_over_champion": -0.005}})
    assert (judged.verdict == "VALIDATED") == passed
    assert judged.champion_version == 7
    assert judged.checks[0].kind == "champion"
    if not passed:
        assert judged.reasons[0].startswith(f"{metric}: the gain over the champion 7 is")


def test_without_a_champion_there_is_nothing_to_compare():
    judged = verdict(
        evidence({MODEL: estimates(auc=0.6)}), auc={"min": 0.5, "gain_over_champion": 0.1}
    )
    assert judged.verdict == "VALIDATED"
    assert [check.name for check in judged.checks] == ["auc.min"]
    assert judged.champion_version is None


def test_the_linear_baseline_can_be_demanded_to_be_beaten():
    found = evidence({MODEL: estimates(auc=0.70), LINEAR: estimates(auc=0.69)})
    assert verdict(found, auc={"gain_over_linear": 0.005}).verdict == "VALIDATED"
    judged = verdict(found, auc={"gain_over_linear": 0.02})
    assert judged.verdict == "REJECTED"
    assert "the gain over the linear baseline is 0.01" in judged.reasons[0]
    assert judged.checks[0].kind == "baseline"


def test_every_slice_is_held_to_its_bounds_and_the_worst_is_named():
    slices = [
        part("Oslo", 200, estimates(0.02, auc=0.8, log_loss=0.4)),
        part("Rio", 40, estimates(0.02, auc=0.5, log_loss=0.9)),
        part("Ulm", 30, estimates(0.02, log_loss=0.4)),  # one class only: auc is undefined
    ]
    found = evidence({MODEL: estimates(0.0, auc=0.75, log_loss=0.5)}, slices)
    judged = verdict(found, auc={"slice_min": 0.6}, log_loss={"slice_gap": 0.2, "slice_max": 0.8})
    failed = [(check.name, check.slice) for check in judged.checks if not check.passed]
    assert failed == [
        ("auc.slice_min", "city=Rio"),
        ("log_loss.slice_max", "city=Rio"),
        ("log_loss.slice_gap", "city=Rio"),
    ]
    assert len(judged.checks) == 2 + 3 + 3
    assert judged.reasons[0].startswith("auc in city=Rio (40 rows) is 0.5 (0.48 to 0.52)")


def test_a_small_slice_has_the_benefit_of_doubt_or_not():
    slices = [part("Rio", 40, estimates(0.2, auc=0.5))]
    found = evidence({MODEL: estimates(auc=0.75)}, slices)
    bounds = {"slice_min": 0.6, "slice_gap": 0.1}
    assert verdict(found, True, auc=bounds).verdict == "VALIDATED"
    assert verdict(found, False, auc=bounds).verdict == "REJECTED"


def test_metrics_of_other_tasks_are_passed_over():
    found = evidence({MODEL: estimates(auc=0.9)})
    judged = verdict(found, r2={"min": 0.5, "if_defined": True}, auc={"min": 0.5})
    assert [check.metric for check in judged.checks] == ["auc"]
