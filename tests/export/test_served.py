"""A version is published only if the embedded server loads it and answers as trained."""

from __future__ import annotations

import dataclasses
import shutil
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError
from pipeline.core.model import load_model
from pipeline.core.saved_model import write_saved_model
from pipeline.core.server_process import Running, started
from pipeline.export import STAGE
from pipeline.export.proof import expected_scores
from pipeline.export.served import Expected, WaitingServer, _ask_grpc, _ask_rest, waiting_server
from pipeline.export.stage import run
from tests.conftest import REPOSITORY
from tests.core.feature_examples import everything, rows
from tests.exported import CONFIG, context


def config(**changes: object):
    server = dataclasses.replace(CONFIG.export.server, **{"rows": 20, **changes})
    return dataclasses.replace(CONFIG, export=dataclasses.replace(CONFIG.export, server=server))


def test_the_shipped_check_is_on() -> None:
    path = REPOSITORY / "configs" / "export" / "default.yaml"
    shipped = STAGE.configure({"export": yaml.safe_load(path.read_text(encoding="utf-8"))}).export
    assert shipped.server.rows > 0


def nearly_expected(*arguments: Any) -> Any:
    """Some processors round both graphs alike, and would show no difference at all."""
    return expected_scores(*arguments) + np.float32(2e-6)


def test_a_good_version_is_tried_and_published(
    registered: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.export.stage.expected_scores", nearly_expected)
    run(config(), registered, context(registered.root))
    assert (registered.serving / "shop" / "1" / "saved_model.pb").exists()
    assert 0 < registered.export.read().largest_difference <= 1e-5


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"memory_bytes": 2**25}, "of memory; nothing is published"),
        ({"start_seconds": 0.01}, "did not come up within 0 s"),
    ],
)
def test_what_is_too_large_or_too_slow_is_not_published(
    registered: Artifacts, limit: dict[str, float], words: str
) -> None:
    with pytest.raises(PipelineError, match=words):
        run(config(**limit), registered, context(registered.root))
    assert not (registered.serving / "shop").exists() or not list(
        (registered.serving / "shop").iterdir()
    )
    assert not registered.export.path.exists()


def test_what_the_server_answers_is_judged(exported: Artifacts) -> None:
    """One server: a wrong expectation, too slow an answer and a request it refuses."""
    folder = exported.serving / "shop" / "1"
    frame = rows(12)
    scores = expected_scores(load_model(exported.model), everything, frame)
    good = Expected(frame, scores, everything, 1e-5)
    check = config().export.server
    with started([f"--model_base_path={folder.parent}", "--model_name=candidate"]) as process:
        server = process.ready()
        waiting = WaitingServer(process, folder.parent, check)
        for protocol, ask in (("REST", _ask_rest), ("gRPC", _ask_grpc)):
            assert waiting._send(server, protocol, ask, good) <= 1e-5
            wrong = dataclasses.replace(good, scores=scores + np.float32(0.01))
            with pytest.raises(PipelineError, match=f"answer over {protocol} is not the") as caught:
                waiting._send(server, protocol, ask, wrong)
            assert "row:      size=" in caught.value.came
            assert "actual:" in caught.value.came
            short = dataclasses.replace(good, frame=frame.drop(columns="word"))
            with pytest.raises(PipelineError, match=f"does not answer over {protocol}") as caught:
                waiting._send(server, protocol, ask, short)
            assert "request:  12 rows" in caught.value.came
        hasty = WaitingServer(
            process, folder.parent, dataclasses.replace(check, request_seconds=1e-9)
        )
        with pytest.raises(PipelineError, match="s for a request over REST"):
            hasty._send(server, "REST", _ask_rest, good)
    assert process.process.poll() == 0


def test_a_server_that_answers_nothing_is_told(exported: Artifacts) -> None:
    frame = rows(1)
    nobody = Running("http://127.0.0.1:9", "grpc://127.0.0.1:9", None, exported.root)  # type: ignore[arg-type]
    waiting = WaitingServer(None, exported.root, config().export.server)  # type: ignore[arg-type]
    expected = Expected(frame, np.zeros((1, 3), np.float32), everything, 1e-5)
    for protocol, ask in (("REST", _ask_rest), ("gRPC", _ask_grpc)):
        with pytest.raises(PipelineError, match=f"does not answer over {protocol}"):
            waiting._send(nobody, protocol, ask, expected)


@pytest.mark.slow
def test_a_version_that_does_not_load_is_explained(exported: Artifacts) -> None:
    folder = exported.serving / "shop" / "1"
    aside = exported.root / "aside"
    write_saved_model(load_model(exported.model), everything, aside, 1)
    shutil.rmtree(aside / "variables")
    shutil.rmtree(folder)
    with (
        waiting_server(config().export.server) as server,
        pytest.raises(PipelineError, match="the embedded server does not serve this model"),
    ):
        server.validate(aside, Expected(rows(1), np.zeros((1, 3)), everything, 1e-5))
