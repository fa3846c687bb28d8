"""The profile as written: right figures, one safe page, the same bytes for the same data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from pipeline.core.features import BooleanFeature, DatetimeFeature
from pipeline.core.records import LABEL
from pipeline.core.schema import build
from pipeline.preprocess.profile import describe_table, write_profile
from pipeline.preprocess.profile_records import CleaningStep, Profile
from pipeline.preprocess.profile_text import number, percent, text, value_of
from tests.preprocess.conftest import DRIFT
from tests.preprocess.profile_tables import feature_set, split, table

CLEANING = (CleaningStep(rule="duplicates", rows=17, note="dropped"),)


def column(profile, name):
    return next(one for one in profile.columns if one.name == name)


@pytest.fixture(params=["binary", "multiclass", "regression"])
def task(request):
    return request.param


class Reader(HTMLParser):
    """Collects what a browser would see."""

    void = frozenset({"meta", "wbr"})

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_figures_are_those_of_the_table(tmp_path, task):
    frame = table(task=task)
    profile = write_profile(tmp_path, split(frame), feature_set(frame, task), CLEANING, DRIFT)
    train = split(frame)["train"]
    assert profile.rows == {"train": 800, "validation": 200, "test": 200}
    age, city = column(profile, "age"), column(profile, "city")
    assert age.missing_fraction["train"] == pytest.approx(train["age"].isna().mean())
    assert city.missing_fraction["train"] == pytest.approx((train["city"] == "").mean())
    assert age.summary["mean"] == pytest.approx(train["age"].mean())
    assert age.summary["deviation"] == pytest.approx(train["age"].std(ddof=0))
    assert age.summary["median"] == pytest.approx(train["age"].median(), abs=0.1)
    assert sum(age.distribution.counts["train"]) == train["age"].notna().sum()
    counts = dict(zip(city.distribution.names, city.distribution.counts["train"], strict=True))
    assert counts == train["city"][train["city"] != ""].value_counts().to_dict()
    strengths = {one.name: one.association[0].strength for one in profile.columns}
    assert max(strengths, key=strengths.get) == "visits"


def test_bars_show_what_the_label_does(task):
    frame = table(task=task)
    profile = describe_table(split(frame), feature_set(frame, task), CLEANING, DRIFT)
    train = split(frame)["train"]
    bars = column(profile, "visits").distribution
    assert bars.names == tuple(str(n) for n in range(12))
    if task == "regression":
        expected = train.groupby("visits")[LABEL].mean().tolist()
        assert bars.label_means == pytest.approx(expected)
    else:
        expected = pd.crosstab(train["visits"], train[LABEL]).to_numpy().tolist()
        assert [list(row) for row in bars.classes] == expected


def test_the_file_reads_back_as_the_profile(tmp_path, task):
    frame = table(task=task)
    written = write_profile(tmp_path, split(frame), feature_set(frame, task), CLEANING, DRIFT)
    text_written = (tmp_path / "profile.json").read_text(encoding="utf-8")
    read = build(Profile, json.loads(text_written, parse_constant=pytest.fail))
    assert read.cleaning == CLEANING
    assert [one.name for one in read.columns] == [one.name for one in written.columns]
    assert read.findings == written.findings


def test_same_data_same_bytes_and_input_untouched(tmp_path, task):
    frame = table(task=task)
    splits = split(frame)
    before = {name: part.copy() for name, part in splits.items()}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_profile(tmp_path / folder, splits, feature_set(frame, task), CLEANING, DRIFT)
    for file in ("profile.json", "profile.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    for name, part in splits.items():
        pd.testing.assert_frame_equal(part, before[name])


HOSTILE = (
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "</title></style><img src=http://evil.example/x>",
    "\u202eright to left",
    "\x00\x1b[31m",
    "日本語 Größe",
    "a" * 500,
    "$title ${sections} %s {0}",
)


def hostile_table():
    frame = table()
    for place, name in enumerate(HOSTILE):
        values = [HOSTILE[(row + place) % len(HOSTILE)] for row in range(len(frame))]
        frame[name] = pd.Series(values, dtype=object)
    return frame


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    frame = hostile_table()
    features = feature_set(frame, label="<b>label</b>", kept=(HOSTILE[0],))
    cleaning = (CleaningStep(rule="<i>rule", rows=1, note="<script>note</script>"),)
    write_profile(folder, split(frame), features, cleaning, DRIFT)
    return (folder / "profile.html").read_text(encoding="utf-8")


def test_hostile_names_and_values_stay_words(hostile_page):
    reader = Reader(hostile_page)
    assert reader.open == []
    expected = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "section"}
    assert set(reader.tags) - expected <= {
        "a", "article", "b", "bdi", "dd", "details", "div", "dl", "dt", "figcaption", "figure",
        "footer", "header", "i", "li", "path", "span", "summary", "svg", "table", "td", "th",
        "tr", "ul", "wbr",
    }  # fmt: skip
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    seen = "".join(reader.words)
    assert "<script>alert(1)</script>" in seen
    assert "日本語 Größe" in seen
    assert "a" * 59 + "…" in seen
    assert "a" * 61 not in seen
    assert "\\u202eright to left" in seen
    assert "\u202e" not in hostile_page
    assert "\\u0000\\u001b[31m" in seen


def test_the_page_needs_nothing_from_outside(hostile_page):
    reader = Reader(hostile_page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(reader.tags)
    links = [value for name, value in reader.attributes if name in {"href", "src", "action"}]
    assert links
    assert all(re.fullmatch(r"#c\d+", link) for link in links)
    style = hostile_page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in hostile_page
    assert 'name="viewport"' in hostile_page


def test_every_link_leads_to_its_card(hostile_page):
    reader = Reader(hostile_page)
    targets = {value for name, value in reader.attributes if name == "id"}
    assert {value[1:] for name, value in reader.attributes if name == "href"} <= targets
    assert len(targets) == len(hostile_table().columns) - 1


def test_warnings_stand_first(tmp_path):
    frame = table()
    frame["refund"] = frame[LABEL].astype("float64")
    write_profile(tmp_path, split(frame), feature_set(frame), CLEANING, DRIFT)
    page = (tmp_path / "profile.html").read_text(encoding="utf-8")
    order = [
        page.index(words) for words in ("May give the label away", "Splits and label", "Cleaning")
    ]
    assert order == sorted(order)
    assert page.index("Cleaning") < page.index("Each column")


def test_dates_are_dates_and_gaps_in_truths_are_gaps():
    frame = table()
    hours = pd.date_range("2024-01-01", periods=len(frame), freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame["moment"] = pd.Series(hours, dtype="str").mask(frame.index % 10 == 0, "")
    frame["member"] = frame["member"].astype("float64").mask(frame.index % 4 == 0)
    features = (
        DatetimeFeature(name="moment", column="moment", parts=("hour",)),
        BooleanFeature(name="member", column="member"),
    )
    profile = describe_table(split(frame), feature_set(frame, features=features), (), DRIFT)
    moment, member = column(profile, "moment"), column(profile, "member")
    assert moment.kind == "date"
    assert moment.missing_fraction["train"] == pytest.approx(0.1)
    assert moment.distribution.names[0] == "2024-01-01T01:00:00"
    # The axis reaches over all splits, so later ones are not piled up at its end.
    assert moment.distribution.counts["train"][-1] == 0
    assert member.kind == "truth"
    assert member.missing_fraction["train"] == pytest.approx(0.25)
    assert sorted(member.distribution.names) == ["false", "true"]


def test_long_tails_do_not_hide_the_rest():
    frame = table()
    rng = np.random.default_rng(4)
    frame["income"] = rng.lognormal(8, 1, len(frame))
    frame.loc[0, "income"] = 1e12
    profile = describe_table(split(frame), feature_set(frame), (), DRIFT)
    income = column(profile, "income").distribution
    assert income.edges[-1] < 1e6
    assert sum(count > 0 for count in income.counts["train"]) > 15
    assert sum(income.counts["train"]) == 800


def test_values_at_the_edge_of_float64(tmp_path):
    frame = table()
    frame["huge"] = np.where(frame.index % 2 == 0, 1.7e308, -1.7e308) * np.linspace(
        0, 1, len(frame)
    )
    frame["infinite"] = np.where(frame.index % 3 == 0, np.inf, frame["visits"])
    frame["tiny"] = 5e-324 * (frame.index % 40)
    profile = write_profile(tmp_path, split(frame), feature_set(frame), (), DRIFT)
    assert column(profile, "infinite").missing_fraction["train"] == pytest.approx(1 / 3, abs=0.01)
    json.loads((tmp_path / "profile.json").read_text(), parse_constant=pytest.fail)


def test_numbers_near_the_end_of_float64_are_shown_as_they_are():
    frame = table()
    ends = np.where(frame.index % 2 == 0, -1.7e308, 1.6e308)
    frame["few"] = np.where(frame.index % 3 == 0, 1.7976931348623157e308, 1.5e308)
    frame["many"] = ends * np.linspace(1, 0.5, len(frame))
    frame["tail"] = np.where(frame.index == 10, 1.7e308, frame["age"])
    profile = describe_table(split(frame), feature_set(frame), (), DRIFT)
    few, many, tail = (column(profile, name) for name in ("few", "many", "tail"))
    assert few.distribution.names == ("1.5e+308", "1.7976931348623157e+308")
    assert few.distribution.counts["train"] == (533, 267)
    assert few.summary["max"] == 1.7976931348623157e308
    assert 1.5e308 < few.summary["mean"] < 1.7e308
    low, high = frame["many"].min(), frame["many"].max()
    assert (many.summary["min"], many.summary["max"]) == (low, high)
    assert (many.distribution.edges[0], many.distribution.edges[-1]) == (low, high)
    assert np.flatnonzero(many.distribution.counts["train"])[[0, -1]].tolist() == [0, 29]
    assert tail.summary["max"] == 1.7e308
    assert tail.distribution.edges[-1] < 100
    assert tail.distribution.counts["train"][-1] >= 1


def test_the_spread_of_large_numbers_that_lie_close_together():
    frame = table()
    small = np.random.default_rng(0).integers(0, 20, len(frame)).astype("float64")
    frame["code"], frame["small"] = 2.0**53 + 2 * small, 2 * small
    profile = describe_table(split(frame), feature_set(frame), (), DRIFT)
    code, alone = (column(profile, name).summary for name in ("code", "small"))
    assert code["deviation"] == pytest.approx(alone["deviation"], rel=1e-12)
    assert code["mean"] - 2.0**53 == pytest.approx(alone["mean"], abs=1)


@pytest.mark.parametrize("pair", [(2.0**53, 2.0**53 + 2), (0.0, 5e-324), (1.0, np.nextafter(1, 2))])
def test_neighbouring_numbers_have_a_bar_each(pair, task):
    frame = table(task=task)
    frame["code"] = np.where(frame.index % 4 == 0, *pair)
    profile = describe_table(split(frame), feature_set(frame, task), (), DRIFT)
    code = column(profile, "code")
    assert code.distribution.counts["train"] == (200, 600)
    assert len(set(code.distribution.names)) == 2
    assert (code.summary["min"], code.summary["max"]) == pair


def test_zero_has_no_sign():
    frame = table().assign(flow=-0.0)
    profile = describe_table(split(frame), feature_set(frame), (), DRIFT)
    assert column(profile, "flow").distribution.names == ("0",)


def test_a_column_that_is_mostly_zero_is_tied_to_the_label_and_drifts(task):
    frame = table(task=task)
    top = frame[LABEL] > frame[LABEL].quantile(0.95) if task == "regression" else frame[LABEL] == 1
    amount = np.random.default_rng(0).exponential(size=len(frame))
    frame["loss"] = np.where(top, amount, 0.0)
    frame["rain"] = np.where(np.arange(len(frame)) % (20 - 18 * (frame.index > 800)), 0.0, amount)
    profile = describe_table(split(frame), feature_set(frame, task), (), DRIFT)
    assert column(profile, "loss").association[0].strength > 0.3
    rain = column(profile, "rain")
    assert all(rain.drift[name] > rain.drift_bound[name] for name in ("validation", "test"))


def test_a_column_that_has_values_after_training_only(tmp_path, task):
    frame = table(task=task)
    frame["sensor"] = np.where(frame.index < 800, np.nan, frame.index)
    write_profile(tmp_path, split(frame), feature_set(frame, task), (), DRIFT)
    assert "Never has a value in training" in (tmp_path / "profile.html").read_text()


def test_hostile_classes_are_made_visible(tmp_path):
    frame = table().assign(**{LABEL: 0})
    classes = ("\u202e\x00<b>" + "a" * 200, "yes")
    features = feature_set(frame, label="\u202elabel")
    named = replace(features, label=replace(features.label, classes=classes))
    write_profile(tmp_path, split(frame), named, (), DRIFT)
    page = (tmp_path / "profile.html").read_text(encoding="utf-8")
    Reader(page)
    assert not {"\u202e", "\x00"} & set(page)
    assert "a" * 61 not in page


def test_the_smallest_tables(tmp_path):
    for rows in (0, 1, 6):
        frame = table(rows) if rows else table(6)[:0]
        folder = tmp_path / str(rows)
        folder.mkdir()
        write_profile(folder, split(frame), feature_set(frame), (), DRIFT)
        Reader((folder / "profile.html").read_text())


def test_two_hundred_columns_stay_light(tmp_path):
    frame = table(300)
    parts = [frame[["age", "city"]].add_suffix(f"_{n}") for n in range(100)]
    wide = pd.concat([*parts, frame[[LABEL]]], axis=1)
    write_profile(tmp_path, split(wide), feature_set(wide), (), DRIFT)
    page = (tmp_path / "profile.html").read_text()
    assert len(page) < 1_000_000
    assert page.count("<path") < 1_500


def test_the_profile_starts_fast():
    code = (
        "import sys, pipeline.preprocess.profile; "
        "heavy = {'matplotlib', 'tensorflow', 'mlflow', 'sklearn', 'scipy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),
        (100.0, "100"),
        (999_999.4, "999,999"),
        (2.5e6, "2.5e+06"),
        (-0.00012, "-0.00012"),
    ],
)
def test_numbers_are_short(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.0001, "< 0.1 %"),
        (0.9999, "> 99.9 %"),
        (0.034, "3.4 %"),
        (0.5, "50 %"),
    ],
)
def test_shares_are_never_rounded_to_none_or_all(fraction, shown):
    assert percent(fraction) == shown


def test_dates_are_shown_as_dates():
    assert value_of("date", 0.0) == "1970-01-01"
    assert value_of("date", 3660.0) == "1970-01-01 01:01"


def test_empty_words_are_said_to_be_empty():
    assert text("") == "<bdi>(empty)</bdi>"
