"""The client: odd tables, both protocols and none, failures that pass and failures that do not."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import DataError, PipelineError, UsageError
from pipeline.core.model import load_model, predict
from pipeline.core.server_process import Running
from pipeline.core.serving_config import publish_serving_config
from pipeline.serve.client import predict_frame, predict_local, server_columns
from pipeline.serve.command import predict_command
from pipeline.serve.retry import Patience
from tests.core.feature_examples import everything, rows

QUICK = Patience(timeout_seconds=20, retries=2, pause_seconds=0.01)


def odd(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows as a person might have them."""
    table = frame.assign(
        size=frame["size"].astype("str").replace("nan", ""),
        flag=frame["flag"].map({True: "yes", False: "No"}),
        maybe=frame["maybe"].astype("Float64"),
        word=frame["word"].astype("category"),
        unused=range(len(frame)),
    )
    return table[table.columns[::-1]].set_axis(range(100, 100 + len(frame)))


@pytest.mark.parametrize("road", ["http", "grpc", "local"])
def test_an_odd_table_is_answered_alike_on_every_road(
    server: Running, exported_once: Artifacts, road: str
) -> None:
    frame = rows(300, seed=1)
    table = odd(frame)
    if road == "local":
        folder = exported_once.serving / "shop" / "1"
        answers = predict_local(folder, table, columns=everything.columns, batch_rows=128)
    else:
        url = server.rest_url if road == "http" else server.grpc_url
        answers = predict_frame(
            url, "shop", table, columns=everything.columns, batch_rows=128, patience=QUICK
        )
    expected = predict(load_model(exported_once.model), frame, everything)
    assert list(answers) == ["score_a", "score_b", "score_c", "predicted", "version"]
    np.testing.assert_allclose(answers.filter(like="score_"), expected, atol=1e-6)
    assert answers["score_a"].dtype == np.float32
    assert answers["predicted"].tolist() == [["a", "b", "c"][i] for i in expected.argmax(axis=1)]
    assert set(answers["version"]) == {1}
    assert answers.index.tolist() == list(range(100, 400))


def test_labels_and_versions(server: Running) -> None:
    frame = rows(2)
    for url in (server.rest_url, server.grpc_url):
        for choice in ({"label": "champion"}, {"version": 1}):
            answers = predict_frame(url, "shop", frame, patience=QUICK, **choice)
            assert answers["version"].tolist() == [1, 1]
        with pytest.raises(PipelineError, match="Unrecognized servable version label: gold"):
            predict_frame(url, "shop", frame, label="gold", patience=QUICK)
    with pytest.raises(UsageError, match="both a version and a label"):
        predict_frame(server.rest_url, "shop", frame, version=1, label="champion")


def test_any_model_of_one_value_a_row(server: Running) -> None:
    frame = pd.DataFrame({"x": ["2", None, "4.0"]})
    for url in (server.rest_url, server.grpc_url):
        answers = predict_frame(url, "half", frame, patience=QUICK)
        assert answers["y"].dtype == np.float32
        np.testing.assert_array_equal(answers["y"], [3.0, np.nan, 4.0])
        with pytest.raises(PipelineError, match=r"input 'pair' has the shape \[-1, 2\]"):
            predict_frame(url, "half", frame, signature_name="many", patience=QUICK)
        with pytest.raises(PipelineError, match="has no signature 'no'") as caught:
            predict_frame(url, "half", frame, signature_name="no", patience=QUICK)
        assert "serving_default" in caught.value.expected


def test_the_columns_that_a_server_takes(server: Running) -> None:
    found = server_columns(server.rest_url, "shop", columns=everything.columns)
    assert sorted(found, key=str) == sorted(everything.columns, key=str)


def test_what_the_server_refuses_is_told_in_its_words(server: Running) -> None:
    frame = rows(2)
    for url in (server.rest_url, server.grpc_url):
        with pytest.raises(
            PipelineError, match=r"Servable not found for request: Latest\(nope\)"
        ) as absent:
            predict_frame(url, "nope", frame, patience=QUICK)
        assert "correct the model's name" in absent.value.remedy
        with pytest.raises(DataError, match="the table has no column 'size'") as caught:
            predict_frame(url, "shop", frame.rename(columns={"size": "sizes"}))
        assert "sizes" in caught.value.remedy
        with pytest.raises(DataError, match="column 'size' holds 2 of 2 values"):
            predict_frame(url, "shop", frame.assign(size="big"))


@contextmanager
def scripted(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers with these statuses in turn, then 200; and what it was asked."""
    left, asked = list(statuses), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status = left.pop(0) if left else 200
            body = json.dumps({"error": "not now"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()


def test_only_what_may_pass_is_tried_again() -> None:
    frame = rows(1)
    with scripted(503, 429, 503, 503) as (url, asked):
        with pytest.raises(PipelineError, match=r"no answer from .* 503 not now"):
            predict_frame(url, "shop", frame, patience=QUICK)
        assert len(asked) == 3
    with scripted(400) as (url, asked):
        with pytest.raises(PipelineError, match=r"refused: not now \(HTTP 400\)"):
            predict_frame(url, "shop", frame, patience=QUICK)
        assert len(asked) == 1


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there(scheme: str) -> None:
    with pytest.raises(PipelineError, match="no answer from") as caught:
        predict_frame(f"{scheme}://127.0.0.1:9", "shop", rows(1), patience=QUICK)
    assert "pipeline serve" in caught.value.remedy


@pytest.mark.parametrize("url", ["127.0.0.1:8501", "ftp://a", ""])
def test_wrong_addresses(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a server"):
        predict_frame(url, "shop", rows(1))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("road", ["http", "local"])
def test_the_command_from_file_to_file(
    server: Running, exported_once: Artifacts, tmp_path: Path, ending: str, road: str
) -> None:
    frame = rows(40, seed=2).map(lambda v: v.replace("\0", "") if isinstance(v, str) else v)
    source, target = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}"
    write, read = FORMATS[ending]
    write(frame, source)
    url = server.rest_url if road == "http" else None
    assert predict_command(exported_once, str(source), url=url, output=str(target)) == 0
    written = read(target)
    expected = predict(load_model(exported_once.model), frame, everything)
    assert list(written)[: frame.shape[1]] == list(frame)
    np.testing.assert_allclose(written.filter(like="score_"), expected, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


FORMATS = {
    "csv": (lambda f, p: f.to_csv(p, index=False), pd.read_csv),
    "tsv": (
        lambda f, p: f.to_csv(p, index=False, sep="\t"),
        lambda p: pd.read_csv(p, sep="\t"),
    ),
    "jsonl": (
        lambda f, p: f.to_json(p, orient="records", lines=True),
        lambda p: pd.read_json(p, lines=True),
    ),
    "parquet": (lambda f, p: f.to_parquet(p), pd.read_parquet),
}


def test_codes_stay_what_the_training_table_held(
    exported_once: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words are read as text; as numbers, where the project's own table held numbers."""
    project = Artifacts(shutil.copytree(exported_once.root, tmp_path / "project"))
    table = tmp_path / "rows.csv"
    table.write_text("size,price in €,word,a/b,when,flag,maybe\n1,2,01,1,2013-01-01,true,\n")

    def answer() -> float:
        predict_command(project, str(table))
        return float(capsys.readouterr().out.splitlines()[1].split(",")[7])

    as_text = answer()
    frame = everything_row(word="01")
    model = load_model(project.model)
    assert as_text == pytest.approx(predict(model, frame, everything)[0, 0], abs=1e-6)
    with project.raw.publish() as folder:
        pd.DataFrame({"word": [1, 2]}).to_parquet(folder / "table.parquet")
    frame = everything_row(word="1")
    assert answer() == pytest.approx(predict(model, frame, everything)[0, 0], abs=1e-6)


def everything_row(word: str) -> pd.DataFrame:
    return rows(1).assign(
        size=1.0, **{"price in €": 2.0, "a/b": "1"}, word=word, when="2013-01-01", flag=True,
        maybe=np.nan,
    ).astype({"word": "str", "a/b": "str", "when": "str"})  # fmt: skip


def test_a_failure_leaves_the_output_as_it_was(exported_once: Artifacts, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    target.write_text("precious")
    for text, problem in (
        ("", "cannot be read as csv"),
        ("size,word\n", "has no rows"),
        ("size,word\n1,2\n", "the table has no column"),
        ("size,word\n1,2,3\n", "cannot be read as csv"),
    ):
        source.write_text(text)
        with pytest.raises(DataError, match=problem):
            predict_command(exported_once, str(source), output=str(target))
    with pytest.raises(UsageError, match="cannot be read"):
        predict_command(exported_once, str(tmp_path / "nowhere.csv"), output=str(target))
    with pytest.raises(UsageError, match="does not say which format"):
        predict_command(exported_once, str(source), output=str(tmp_path / "out.xlsx"))
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_which_model(exported_once: Artifacts, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("size\n1\n")
    with pytest.raises(PipelineError, match="no model is exported in this project"):
        predict_command(Artifacts(tmp_path / "empty"), str(source))
    with pytest.raises(UsageError, match="no models are exported"):
        predict_command(Artifacts(tmp_path / "empty"), str(source), url="http://127.0.0.1:9")
    with pytest.raises(PipelineError, match="no version of the model 'other' is exported"):
        predict_command(exported_once, str(source), model="other")


def test_of_several_models_the_one_exported_last_answers(
    exported_once: Artifacts, tmp_path: Path
) -> None:
    two = Artifacts(shutil.copytree(exported_once.root, tmp_path / "two"))
    shutil.copytree(two.serving / "shop", two.serving / "zoo")
    assert len(publish_serving_config(two, lambda _name: {})) == 2
    everything_row(word="1").to_csv(tmp_path / "in.csv", index=False)
    predict_command(two, str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv"))
    assert "predicted" in pd.read_csv(tmp_path / "out.csv").columns
    two.export.path.unlink()
    with pytest.raises(UsageError, match="--model NAME with one of shop, zoo"):
        predict_command(two, str(tmp_path / "in.csv"))


def test_the_exported_model_behind_plain_http(server: Running) -> None:
    """What README and docs show: one row by hand."""
    row = {
        c.name: {"float64": 1.0, "string": "", "bool": True}[c.dtype] for c in everything.columns
    }
    url = f"{server.rest_url}/v1/models/shop/labels/champion:predict"
    (answer,) = requests.post(url, json={"instances": [row]}, timeout=30).json()["predictions"]
    assert set(answer) == {"classes", "predicted", "scores", "version"}
    assert sum(answer["scores"]) == pytest.approx(1, abs=1e-6)
    examples = {"signature_name": "classify", "examples": [{"size": 1.0, "flag": 1}]}
    url = f"{server.rest_url}/v1/models/shop:classify"
    (pairs,) = requests.post(url, json=examples, timeout=30).json()["results"]
    assert [label for label, _ in pairs] == ["a", "b", "c"]
