"""What people get wrong: each mistake is named with what was expected, in our own words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.compose.compose import compose
from pipeline.core.errors import ConfigError

FOREIGN_WORDS = re.compile(
    r"struct|multirun|<EOF>|mismatched|viable|Lexer|hydra\.cc|DictConfig", re.I
)


def refused(root: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(root, overrides)
    message = str(caught.value)
    assert not FOREIGN_WORDS.search(message)
    assert caught.value.exit_code == 2
    return message


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("model=dnc", ["names 'dnc'", "one of dcn, mlp", "did you mean model=dcn?"]),
        ("model=[dcn,mpl]", ["names 'mpl'", "did you mean model=mlp?"]),
        ("model=null", ["names 'null'", "one of dcn, mlp"]),
        ("model=5", ["names '5'", "one of dcn, mlp"]),
        ("+experiment=lang", ["names 'lang'", "did you mean experiment=long?"]),
        ("debug=smok", ["did you mean debug=smoke?"]),
        ("+experimant=x", ["'experimant'", "mean +experiment? (experiment is one of long)"]),
        ("++experimant=x", ["'experimant'", "mean +experiment? (experiment is one of long)"]),
        ("experimant=long", ["'experimant'", "mean +experiment? (experiment is one of long)"]),
        ("+dbug=smoke", ["'dbug'", "mean +debug? (debug is one of smoke)"]),
        ("+modle=dcn", ["'modle'", "did you mean model? (model is one of dcn, mlp)"]),
        ("modle=dcn", ["unknown config key 'modle'", "did you mean model?", "one of dcn, mlp"]),
        ("dat.name=x", ["unknown config key 'dat.name'", "did you mean data.name"]),
        ("train.epcohs=3", ["unknown config key 'train.epcohs'", "did you mean train.epochs?"]),
        ("train.learning_rate=3", ["did you mean train.optimizer.learning_rate?"]),
        ("epochs=3", ["did you mean train.epochs?"]),
        ("train.epochs.x=3", ["unknown config key 'train.epochs.x'"]),
        ("data.columns.temp.log=true", ["+key=value for one that configs/ leaves out"]),
        ("~train.nope", ["unknown config key 'train.nope'"]),
        ("~train.epochs=3", ["has another value", "write ~train.epochs"]),
        ("+train.epochs=3", ["is there already", "write train.epochs=3"]),
        ("train.epochs=1,2", ["several values", "'train.epochs=[1,2]'", "`pipeline tune`"]),
        ("train.epochs=range(1,3)", ["several values", "`pipeline tune`"]),
        ("train.note=choice(a,b)", ["several values"]),
        ("model=dcn,mlp", ["several values", "`pipeline tune`"]),
        ("train.epochs", ["cannot be read", "write key=value"]),
        ("model", ["choose an option: model=dcn|mlp"]),
        ("penguins", ["did you mean data=penguins?"]),
        ("--train.epochs=3", ["no dashes"]),
        ("train.note=it's", ["quote the value: 'train.note=\"it's\"'"]),
        ("train.epochs=[1", ["cannot be read"]),
        ("train.epochs=foo(1)", ["cannot be read"]),
        ("", ["cannot be read"]),
        ("=3", ["unknown config key ''"]),
        ("hydra.run.dir=x", ["how Hydra itself runs"]),
        ("hydra/launcher=basic", ["how Hydra itself runs"]),
        ("data@other=flights", ["write data=flights"]),
        ("train.epochs=???", ["'train.epochs' has no value yet (???)"]),
        ("train.epochs=${train.epohcs}", ["refers to ${train.epohcs}", "${train.epochs}?"]),
        ("train.epochs=${nope:1}", ["refers to ${nope:1}, which cannot be resolved"]),
        ("train.note=${oc.env:HOME}", ["from the environment", "git tracks", "source.url_env"]),
    ],
)
def test_overrides(root: Path, override: str, parts: list[str]):
    message = refused(root, override)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("train/default.yaml", "epochs: 8\n  x: 3\n", ["train/default.yaml, line 2, column 4"]),
        ("train/default.yaml", "epochs: [1, 2\n", ["train/default.yaml, line"]),
        (
            "train/default.yaml",
            "epochs: 1\nepochs: 2\n",
            ["train/default.yaml, line 2", "duplicate"],
        ),
        ("config.yaml", "- 1\n- 2\n", ["config.yaml holds list", "a mapping"]),
        ("config.yaml", "defaults: [model: dcn\n", ["config.yaml, line"]),
        ("config.yaml", "defaults: 3\n", ["config.yaml: 'defaults' is no list"]),
        (
            "config.yaml",
            "defaults:\n  - modle: dcn\n",
            ["the group 'modle'", "did you mean model?"],
        ),
        ("config.yaml", "defaults:\n  - model: dnc\n", ["config.yaml names 'dnc'", "model=dcn?"]),
        ("train/default.yaml", "note: ${data.nmae}\n", ["'train.note' refers to", "${data.name}?"]),
    ],
)
def test_files(root: Path, name: str, text: str, parts: list[str]):
    (root / "configs" / name).write_text(text)
    message = refused(root)
    for part in parts:
        assert part in message


def test_a_file_that_is_no_text(root: Path):
    (root / "configs/train/default.yaml").write_bytes(b"note: \xff\xfe\n")
    assert "train/default.yaml" in refused(root)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("override /modle: mlp", ["experiment/long.yaml names the group 'modle'", "model?"]),
        ("override /model: mpl", ["experiment/long.yaml names 'mpl'", "model=mlp?"]),
    ],
)
def test_an_experiment_that_chooses_what_does_not_exist(root: Path, line: str, parts: list[str]):
    text = f"# @package _global_\ndefaults:\n  - {line}\n"
    (root / "configs/experiment/long.yaml").write_text(text)
    message = refused(root, "experiment=long")
    for part in parts:
        assert part in message


@given(
    st.one_of(st.text(), st.from_regex(r"[+~]{0,2}(train|model|data)[a-z.=\[{,'\"$: 0-9]{0,12}"))
)
@example("train.epochs=\u2028")
@example("+data.columns.x={a: [1, {b: 2}]}")
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_text_composes_or_is_refused_in_our_words(root: Path, override: str):
    try:
        composed = compose(root, [override])
        message = ""
    except ConfigError as error:
        composed = {}
        message = str(error).replace(override, "")
    assert composed or message
    assert not FOREIGN_WORDS.search(message)
