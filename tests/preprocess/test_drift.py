"""Drift: each figure is SciPy's, planted drift is found, and chance is not taken for drift."""

from __future__ import annotations

from dataclasses import replace
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
from pipeline.preprocess.drift import Named, _column, compare, judged, thinned, thinned_file
from pipeline.preprocess.drift_classifier import tell_apart
from pipeline.preprocess.drift_records import ColumnDrift, DriftReport
from pipeline.preprocess.profile_drift import drift_section
from pipeline.preprocess.profile_statistics import stability_index
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
    assert "100.0% new values (&lt;b&gt;)" in page, "a phone has no room for all figures"
    assert "<b>" not in page


def test_new_words_are_shown_short_and_harmless():
    report = against_train(rows(1).assign(word="\x1b[31m" + "a" * 10_000))
    (shown,) = only(report).new_values
    assert "\x1b" not in shown
    assert len(shown) < 100


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


def words(random: np.random.Generator, count: int, different: int) -> pd.Series[Any]:
    return pd.Series([f"w{n}" for n in random.integers(0, different, count)], dtype="str")


@pytest.mark.parametrize(("before", "now", "different"), [(200, 200, 300), (2000, 600, 1000)])
def test_many_rare_words_are_no_drift(before: int, now: int, different: int):
    """Half of the words of one sample stand not in the other, though both are of one kind."""
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(40):
        sides = [words(random, count, different) for count in (before, now)]
        (found,) = judged([_column("word", *sides)], DRIFT)
        assert found.new_fraction > 0.1
        alarms += bool(found.reasons)
    assert alarms <= 2, "one in a hundred is accepted"
    strange = sides[1].where(np.arange(now) % 10 > 0, "strange")
    (found,) = judged([_column("word", sides[0], strange)], DRIFT)
    assert found.reasons


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=9))
def test_the_chance_of_new_words_is_never_too_small(counts: list[tuple[int, int]]):
    table = np.array([[2, 2], *[pair for pair in counts if any(pair)]])
    bound = statistics.new_words_p_value(table[:, 0], table[:, 1])
    random = np.random.default_rng(0)
    rows = np.repeat(np.arange(len(table)), table.sum(axis=1))
    seen = table[table[:, 0] == 0, 1].sum()
    often = 0
    for _ in range(200):
        mixed = random.permutation(rows)
        first, second = mixed[: table[:, 0].sum()], mixed[table[:, 0].sum() :]
        often += int((~np.isin(second, first)).sum() >= seen)
    assert bound >= often / 200 - 0.1


def test_one_new_word_has_exactly_its_chance():
    bound = statistics.new_words_p_value(np.array([20, 0]), np.array([6, 4]))
    assert bound == pytest.approx(stats.hypergeom(30, 4, 10).pmf(4), rel=1e-6)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 500), st.integers(1, 500))
def test_fishers_test_is_scipys(a: int, b: int, c: int, d: int):
    expected = stats.fisher_exact([[a, b], [c, d]]).pvalue
    found = statistics.fisher_p_value(np.array([a, b]), np.array([c, d]))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("gone", "alarm"), [(300, True), (30, True), (0, False)])
def test_a_few_rows_against_many_are_enough(gone: int, alarm: bool):
    """By the rule of five, 300 missing values among 50,300 rows would be too rare to count."""
    many, few = pd.Series(np.arange(50_000) / 50_000), pd.Series(np.arange(300) / 300)
    (found,) = judged([_column("x", many, few.where(few.index >= gone))], DRIFT)
    assert bool(found.reasons) is alarm


def test_a_column_that_is_mostly_zero_has_cells():
    random = np.random.default_rng(0)
    sides = [
        pd.Series(np.where(random.random(ROWS) < share, 0.0, random.exponential(size=ROWS)))
        for share in (0.95, 0.5)
    ]
    found = _column("rain", *sides)
    assert found.jensen_shannon > 0.3
    assert found.stability_index > 0.5
    again = _column("rain", sides[0], sides[0])
    assert (again.jensen_shannon, again.stability_index) == (pytest.approx(0, abs=1e-7), 0)


def test_bins_that_are_empty_on_both_sides_say_nothing():
    full = stability_index(np.array([5000, 5000]), np.array([50, 50]))
    gaps = stability_index(np.array([5000, 0, 0, 5000]), np.array([50, 0, 0, 50]))
    assert gaps == full == 0


def test_impossible_numbers_are_missing_ones_to_the_model():
    """Cleaning took them out of the training rows; new rows come as they are."""
    limited = NumericFeature(name="x", column="x", least=-10.0, most=10.0)
    schema = replace(SCHEMA, features=(limited, *FEATURES[1:]))
    every_third = np.arange(ROWS) % 3 == 0
    train, now = (rows(seed).assign(x=lambda t: t["x"].mask(every_third)) for seed in (0, 1))
    for code in (-999.0, np.inf, -np.inf):
        coded = now.assign(x=lambda t, code=code: t["x"].fillna(code))
        report = compare(Named("train", train), Named("now", coded), schema, DRIFT, jointly=True)
        assert not report.drifted


def test_columns_without_values_and_huge_ones_are_no_trouble_to_the_classifier():
    empty = rows(1).assign(x=np.nan, word="")
    strange = empty.assign(y=lambda t: t["y"].clip(-1.7, 1.7) * 1e308)
    for table in (empty, strange):
        whole = compare(Named("a", table), Named("b", table), SCHEMA, DRIFT, jointly=True)
        assert whole.joint is not None
        assert not whole.drifted
    only_empty = {"x": empty["x"]}
    assert tell_apart(only_empty, only_empty, 1000) == (0.5, 0.5, 1000)
    bare = replace(SCHEMA, features=())
    assert compare(Named("a", empty), Named("b", empty), bare, DRIFT, jointly=True).joint is None
