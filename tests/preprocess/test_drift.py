"""Drift: each figure is SciPy's, planted drift is found, and chance is not taken for drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from pipeline.core.artifacts import Table
from pipeline.core.features import (
    BooleanFeature,
    CategoricalFeature,
    Column,
    DatetimeFeature,
    Feature,
    FeatureSet,
    Label,
    NumericFeature,
)
from pipeline.preprocess import drift_statistics as statistics
from pipeline.preprocess.drift import Named, compare, thinned, thinned_file
from pipeline.preprocess.drift_records import ColumnDrift, DriftReport
from pipeline.preprocess.profile_drift import drift_section
from tests.preprocess.conftest import DRIFT

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=8)
FEATURES: tuple[Feature, ...] = (
    NumericFeature(name="x", column="x"),
    NumericFeature(name="y", column="y"),
    CategoricalFeature(name="word", column="word", vocabulary=("a", "b", "c")),
    BooleanFeature(name="paid", column="paid"),
    DatetimeFeature(name="day", column="day", parts=("month",)),
)
SCHEMA = FeatureSet(
    columns=(
        Column(name="x", dtype="float64"),
        Column(name="y", dtype="float64"),
        Column(name="word", dtype="string"),
        Column(name="paid", dtype="bool"),
        Column(name="day", dtype="string"),
    ),
    label=Label(column="label", task="binary", classes=("no", "yes")),
    features=FEATURES,
    rows={"train": 1, "validation": 1, "test": 1},
)
ROWS = 2000


def rows(seed: int = 0, count: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 366, count), "D")
    return pd.DataFrame(
        {
            "x": x,
            "y": x + random.normal(size=count) / 10,
            "word": random.choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1]),
            "paid": random.random(count) < 0.4,
            "day": day.strftime("%Y-%m-%d"),
        }
    )


def against_train(current: pd.DataFrame, **options: Any) -> DriftReport:
    return compare(Named("train", rows()), Named("now", current), SCHEMA, DRIFT, **options)


def only(report: DriftReport) -> ColumnDrift:
    assert report.drifted
    assert len(report.drifted_columns) == 1, report.drifted_columns
    return report.drifted_columns[0]


@pytest.mark.parametrize("seed", range(1, 6))
def test_samples_of_one_distribution_have_not_drifted(seed: int):
    report = against_train(rows(seed), jointly=seed == 1)
    assert not report.drifted
    assert [one.column for one in report.columns if one.reasons] == []
    assert {one.column for one in report.columns} == {"x", "y", "word", "paid", "day.month"}


def test_a_shifted_number_is_found_by_every_measure():
    found = only(against_train(rows(1).assign(y=lambda table: table["y"] + 0.6)))
    assert (found.column, found.test) == ("y", "kolmogorov_smirnov")
    assert [reason.split()[0] for reason in found.reasons] == [
        "Jensen-Shannon",
        "PSI",
        "Kolmogorov-Smirnov",
    ]


def test_other_shares_of_words_and_new_words_are_found():
    words = np.resize(["a", "b", "b", "d"], ROWS)
    found = only(against_train(rows(1).assign(word=words)))
    assert (found.column, found.test, found.new_fraction) == ("word", "chi_squared", 0.25)
    assert found.new_values == ("d",)
    assert any("25.0% new values (d)" in reason for reason in found.reasons)


def test_values_that_go_missing_are_found():
    found = only(against_train(rows(1).assign(x=lambda t: t["x"].where(np.arange(ROWS) % 5 > 0))))
    assert found.missing_fraction == (0.0, 0.2)
    assert found.reasons == ("missing 0.0%, then 20.0%",)


def test_a_truth_value_and_a_part_of_a_date_are_compared_as_the_model_sees_them():
    assert only(against_train(rows(1).assign(paid=True))).column == "paid"
    summer = rows(1).assign(day="2030-07-01")
    assert only(against_train(summer)).column == "day.month"


def test_what_no_column_shows_alone_the_classifier_finds():
    """x and y used to go together; each by itself is distributed as before."""
    shuffled = rows(1).assign(y=lambda t: np.random.default_rng(2).permutation(t["y"]))
    report = against_train(shuffled, jointly=True)
    assert report.drifted_columns == ()
    assert report.joint is not None
    assert report.joint.auc > 0.75
    assert report.joint.drifted
    assert report.drifted
    assert not against_train(shuffled).drifted


def test_a_significant_trifle_is_no_drift():
    many = [rows(seed, 40_000) for seed in (0, 1)]
    nudged = many[1].assign(x=many[1]["x"] + 0.05)
    report = compare(Named("train", many[0]), Named("now", nudged), SCHEMA, DRIFT)
    x = next(one for one in report.columns if one.column == "x")
    assert x.adjusted_p_value < 1e-3
    assert not report.drifted


def test_few_rows_say_nothing():
    report = against_train(rows(1, 99).assign(x=50.0))
    assert (report.columns, report.drifted) == ((), False)
    assert report.note == "fewer than 100 rows: nothing can be said"
    assert report.note in drift_section(report)


def test_no_more_than_so_many_rows_are_compared():
    frame = pd.DataFrame({"x": np.arange(1000.0)})
    kept = thinned(frame, 10)["x"].tolist()
    assert len(kept) == 10
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0.0, 999.0)
    assert thinned(frame, 1000) is frame


@pytest.mark.parametrize("most", [7, 100, 400, 5000])
def test_a_table_on_disk_is_thinned_to_the_same_rows(tmp_path: Path, most: int):
    frame = rows(count=401).assign(gap=[None, *range(400)])
    table = Table(tmp_path / "t.parquet")
    table.write(frame)
    found, count = thinned_file(table, most, 60)
    assert count == 401
    pd.testing.assert_frame_equal(found, thinned(frame, most).reset_index(drop=True))
    full = compare(Named("train", rows()), Named("now", frame), SCHEMA, DRIFT)
    spaced = thinned(frame, DRIFT.max_rows)
    assert compare(Named("train", rows()), Named("now", spaced, 401), SCHEMA, DRIFT) == full


def test_a_column_without_any_value_is_compared_too():
    empty = rows(1).assign(x=np.nan, word="")
    assert {one.column for one in against_train(empty).drifted_columns} == {"x", "word"}


def test_the_page_shows_what_drifted_and_escapes_it():
    report = against_train(rows(1).assign(word="<b>"))
    page = drift_section(report)
    assert '<span class="strong"><bdi>word</bdi></span>' in page
    assert "1 of 5 columns have drifted" in page
    assert "<b>" not in page


@given(COUNTS)
def test_equal_histograms_have_no_distance(counts: list[int]):
    cells = np.array(counts)
    assert statistics.jensen_shannon(cells, cells) == pytest.approx(0, abs=1e-7)
    assert statistics.chi_squared(cells, cells)[1] == pytest.approx(1)


@given(COUNTS, COUNTS)
def test_the_jensen_shannon_distance_is_scipys(first: list[int], second: list[int]):
    size = min(len(first), len(second))
    one, other = np.array(first[:size]), np.array(second[:size])
    ours = statistics.jensen_shannon(one, other)
    assert ours == pytest.approx(statistics.jensen_shannon(other, one), abs=1e-7)
    if one.sum() and other.sum():
        assert ours == pytest.approx(jensenshannon(one, other, base=2), abs=1e-6)


@given(st.integers(0, 2**32), st.floats(-0.5, 0.5))
def test_kolmogorov_smirnov_is_scipys(seed: int, shift: float):
    random = np.random.default_rng(seed)
    one, other = random.normal(size=1500), random.normal(size=1000) + shift
    statistic, p_value = statistics.kolmogorov_smirnov(one, other)
    expected = stats.ks_2samp(one, other, method="asymp")
    assert statistic == pytest.approx(expected.statistic)
    # SciPy takes the distribution of a finite sample; ours is its limit, and never smaller.
    assert p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert p_value >= expected.pvalue - 1e-12


@given(st.lists(st.integers(20, 500), min_size=2, max_size=8))
def test_chi_squared_is_scipys(counts: list[int]):
    one = np.array(counts)
    other = one[::-1].copy()
    statistic, p_value = statistics.chi_squared(one, other)
    expected = stats.chi2_contingency(np.stack([one, other]), correction=False)
    assert p_value == pytest.approx(expected.pvalue)
    assert statistic == pytest.approx(np.sqrt(expected.statistic / (2 * one.sum())))


def test_cells_too_rare_for_the_test_are_joined():
    rare = np.array([500, 500, *[1] * 12])
    other = np.array([500, 500, *[0] * 12])
    joined = statistics.chi_squared(np.array([500, 500, 12]), np.array([500, 500, 0]))
    assert statistics.chi_squared(rare, other) == pytest.approx(joined)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_the_correction_is_scipys(p_values: list[float]):
    ours = statistics.false_discovery_adjusted(np.array(p_values))
    expected = stats.false_discovery_control(p_values) if p_values else []
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_the_rank_test_is_scipys():
    random = np.random.default_rng(0)
    one, other = random.normal(size=300) + 0.2, random.normal(size=200)
    expected = stats.mannwhitneyu(
        one, other, alternative="greater", method="asymptotic", use_continuity=False
    )
    auc = expected.statistic / (300 * 200)
    assert statistics.rank_p_value(auc, 300, 200) == pytest.approx(expected.pvalue)
