"""YAML written by hand: what OmegaConf and PyYAML read again is what was meant."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pipeline.runner.init_yaml import beside, block, comment, flow, key

ODD = (
    "yes|No|null|~|1e-3|0x1F|12:30:00|2013-10-01|???|a: b|#x|${data.name}|\\${x}|\\\\${x}|a ${|- x"
    "|{a}|[1]|'|\"|| |ä|nan|.inf|+1|1_000|01067|true|off|y|=|<<|!x|*a|&a"
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(ODD.split("|"))
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(texts, values, max_size=4))
@example({"x": r"a\${b}"})
@settings(deadline=None)
def test_what_is_written_is_read(content: dict[str, Any]):
    text = "\n".join(["top:", *block(content)]) if content else "top: {}"
    # "???" alone means "no value yet" to OmegaConf, and nothing else can be said for it.
    if "???" not in str(content):
        config = OmegaConf.create(text)
        assert OmegaConf.to_container(config, resolve=True) == {"top": content}


@given(texts)
def test_keys_survive_as_text(name: str):
    assert yaml.safe_load(f"{key(name)}: {{}}") == {name: {}}


@pytest.mark.parametrize("word", ["numeric", "day_of_week", "Größe", "bill length"])
def test_plain_words_stay_without_quotes(word: str):
    assert flow(word) == key(word) == word


@given(st.text())
def test_a_comment_stays_on_its_line(text: str):
    assert yaml.safe_load(f"a: 1  # {comment(text)}\n") == {"a": 1}


def test_comments_stand_in_one_column():
    assert beside([("a: 1", "one"), ("bbb: 2", "two"), ("c: 3", "")]) == [
        "a: 1    # one",
        "bbb: 2  # two",
        "c: 3",
    ]
