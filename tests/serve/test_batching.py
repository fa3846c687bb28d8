"""Batches: rows of several callers run together, and each caller gets its own answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.session import Array, SavedModelSession
from pipeline.serve.batches import Batches
from pipeline.serve.batching import Batching, read_batching
from pipeline.serve.limits import LimitedSession
from pipeline.serve.runs import Results, drive, finished

CALLERS = 8


class BatchSession:
    """A session whose runs go through batches where these take them."""

    def __init__(self, folder: Path, batching: Batching) -> None:
        self._session = SavedModelSession(folder)
        self.signatures = self._session.signatures
        self.batches = Batches(LimitedSession(self._session), batching)

    def run(self, feeds: dict[str, Array], fetches: list[str]) -> Results:
        async def answer() -> Results:
            run = self.batches.run(feeds, tuple(fetches))
            return await run if run else self._session.run(feeds, fetches)

        return finished(answer())

    def __enter__(self) -> BatchSession:
        return self

    def __exit__(self, *_error: object) -> None:
        self.batches.close()
        self._session.close()


@pytest.fixture(scope="module")
def plain(version_folders: Path) -> Iterator[SavedModelSession]:
    with SavedModelSession(version_folders / "1") as session:
        yield session


@pytest.fixture(scope="module")
def batched(version_folders: Path) -> Iterator[BatchSession]:
    """Batches of 16 rows at most, which wait for one another."""
    batching = Batching(max_batch_size=16, timeout_micros=3000, max_enqueued_batches=100)
    with BatchSession(version_folders / "1", batching) as session:
        yield session


def ask(
    session: SavedModelSession | BatchSession, name: str, *arrays: object
) -> dict[str, np.ndarray]:
    signature = session.signatures[name]
    feeds = {
        signature.inputs[alias].name: np.asarray(array)
        for alias, array in zip(sorted(signature.inputs), arrays, strict=True)
    }
    outputs = sorted(signature.outputs)
    results = session.run(feeds, [signature.outputs[alias].name for alias in outputs])
    return dict(zip(outputs, results, strict=True))


Requests = st.lists(
    st.tuples(st.integers(0, 16), st.sampled_from([1, 2, 3])), min_size=CALLERS, max_size=CALLERS
)


@settings(max_examples=25, deadline=None)
@given(requests=Requests)
def test_every_caller_gets_the_answers_to_its_own_rows(
    batched: BatchSession, requests: list[tuple[int, int]]
) -> None:
    """Callers at one time, with rows of other numbers, widths and values than their neighbours."""
    start = threading.Barrier(CALLERS)

    def caller(number: int, rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.arange(rows * width, dtype=np.float32).reshape(rows, width) + 1000 * number
        start.wait()
        return x, ask(batched, "serving_default", x)["y"]

    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(caller, i, *request) for i, request in enumerate(requests)]
        for future in futures:
            x, y = future.result()
            np.testing.assert_array_equal(y, x / 2 + 1)


def test_every_kind_of_tensor_and_several_signatures_at_once(
    batched: BatchSession, plain: SavedModelSession
) -> None:
    def many(number: int) -> None:
        arrays = (
            np.array([bool(number % 2)]),
            np.array([number / 3]),
            np.array([[number, -number]], np.int64),
            np.array([f"word {number}".encode()], object),
        )
        ours, theirs = ask(batched, "many", *arrays), ask(plain, "many", *arrays)
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name], array)

    def half(number: int) -> None:
        assert ask(batched, "serving_default", np.float32([number]))["y"] == [number / 2 + 1]

    with ThreadPoolExecutor(CALLERS) as pool:
        for future in [pool.submit((many, half)[i % 2], i) for i in range(64)]:
            future.result()


def test_batches_are_made(version_folders: Path) -> None:
    """One batch at a time, four rows a batch: four callers of one row wait for each other."""
    batching = Batching(max_batch_size=4, timeout_micros=60_000_000, threads=1)
    with BatchSession(version_folders / "1", batching) as session, ThreadPoolExecutor(4) as pool:
        futures = [
            pool.submit(ask, session, "serving_default", np.float32([number]))
            for number in range(3)
        ]
        assert not any(future.done() for future in futures)
        ask(session, "serving_default", np.float32([3]))
        assert [float(future.result()["y"][0]) for future in futures] == [1.0, 1.5, 2.0]


def test_what_does_not_fit_a_batch(batched: BatchSession) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="Task size 17 is larger than maximum"):
        ask(batched, "serving_default", np.zeros(17, np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one dimension"):
        ask(batched, "serving_default", np.float32(1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="equal 0th-dimension size"):
        two, one = np.zeros(2), np.zeros((1, 2), np.int64)
        ask(batched, "many", np.array([True, True]), two, one, np.array([b"", b""], object))


def test_some_of_the_outputs_are_batched_as_all_are(batched: BatchSession) -> None:
    signature = batched.signatures["many"]
    arrays = {
        "flag": np.zeros(17, bool),
        "number": np.arange(17.0),
        "pair": np.zeros((17, 2), np.int64),
        "word": np.full(17, b"", object),
    }
    for rows in (17, 16):
        feeds = {signature.inputs[name].name: array[:rows] for name, array in arrays.items()}
        if rows == 17:
            with pytest.raises(tf.errors.InvalidArgumentError, match="Task size 17 is larger"):
                batched.run(feeds, [signature.outputs["sum"].name])
        else:
            (total,) = batched.run(feeds, [signature.outputs["sum"].name])
            np.testing.assert_array_equal(total, np.arange(16.0))


def test_one_callers_mistake_is_not_anothers(batched: BatchSession) -> None:
    start = threading.Barrier(2)

    def caller(content: bytes) -> dict[str, np.ndarray]:
        start.wait()
        return ask(batched, "regress", np.array([content], object))

    good = tf.train.Example()
    good.features.feature["x"].float_list.value.append(4.0)
    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            bad = pool.submit(caller, b"no example")
            fine = pool.submit(caller, good.SerializeToString())
            assert fine.result()["outputs"] == [3.0]
            with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse example"):
                bad.result()


def test_answers_without_a_row_for_each_row_are_given_unbatched(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def mean(x):
        return {"mean": tf.reduce_mean(x)}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": mean})
    with BatchSession(tmp_path, Batching()) as session:
        for _ in range(2):
            answer = ask(session, "serving_default", np.float32([1, 2]))
            np.testing.assert_array_equal(answer["mean"], np.float32(1.5))


def test_large_requests_are_split(version_folders: Path) -> None:
    batching = Batching(100, max_enqueued_batches=20, split=True, max_execution_size=8)
    with BatchSession(version_folders / "1", batching) as session:
        x = np.arange(99, dtype=np.float32)
        np.testing.assert_array_equal(ask(session, "serving_default", x)["y"], x / 2 + 1)


def test_batches_are_filled_up_to_allowed_sizes(version_folders: Path) -> None:
    batching = Batching(max_batch_size=8, allowed_sizes=(4, 8))
    with BatchSession(version_folders / "1", batching) as session:
        for rows in (1, 5, 8):
            assert ask(session, "serving_default", np.zeros(rows, np.float32))["y"].shape == (rows,)


def test_a_full_queue_refuses(version_folders: Path) -> None:
    batching = Batching(max_batch_size=1, max_enqueued_batches=1, threads=1)
    with BatchSession(version_folders / "1", batching) as session, ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(ask, session, "slow", np.float32([1])) for _ in range(16)]
        errors = [future.exception() for future in futures]
    refused = [error for error in errors if error is not None]
    assert 0 < len(refused) < 16
    assert all(isinstance(error, tf.errors.UnavailableError) for error in refused)
    assert all("queue" in str(error) and "node" not in str(error) for error in refused)


def test_a_large_request_that_finds_no_room_leaves_the_queue_as_it_was(
    version_folders: Path,
) -> None:
    batching = Batching(64, max_enqueued_batches=2, split=True, max_execution_size=8)
    with BatchSession(version_folders / "1", batching) as session:
        with pytest.raises(tf.errors.UnavailableError, match="queue"):
            ask(session, "serving_default", np.zeros(64, np.float32))
        x = np.arange(16, dtype=np.float32)
        np.testing.assert_array_equal(ask(session, "serving_default", x)["y"], x / 2 + 1)


def test_a_part_of_a_large_request_has_to_answer_with_its_rows(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def mean(x):
        return {"mean": tf.reduce_mean(x)}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": mean})
    batching = Batching(64, split=True, max_execution_size=2)
    with (
        BatchSession(tmp_path, batching) as session,
        pytest.raises(tf.errors.FailedPreconditionError, match="0th dimension"),
    ):
        ask(session, "serving_default", np.float32([1, 2, 3]))


def test_rows_whose_time_was_up_while_they_waited_are_not_run(version_folders: Path) -> None:
    batching = Batching(max_batch_size=2, timeout_micros=60_000_000, threads=1)
    ended: list[BaseException] = []
    with BatchSession(version_folders / "1", batching) as session:
        signature = session.signatures["serving_default"]

        async def late() -> None:
            run = session.batches.run(
                {signature.inputs["x"].name: np.float32([1])}, (signature.outputs["y"].name,)
            )
            try:
                await run
            except tf.errors.OpError as error:
                ended.append(error)

        drive(late(), deadline=time.monotonic() - 1)
        np.testing.assert_array_equal(
            ask(session, "serving_default", np.float32([1]))["y"], np.float32([1.5])
        )
    assert isinstance(ended[0], tf.errors.DeadlineExceededError)


def test_rows_of_many_shapes_are_answered_all_the_same(version_folders: Path) -> None:
    """More shapes than there are queues; each has its own, and goes when it is empty."""
    batching = Batching(max_batch_size=8, timeout_micros=1000)
    with BatchSession(version_folders / "1", batching) as session, ThreadPoolExecutor(40) as pool:
        rows = [np.full((1, width), width, np.float32) for width in range(1, 41)]
        futures = [pool.submit(ask, session, "serving_default", row) for row in rows]
        for row, future in zip(rows, futures, strict=True):
            np.testing.assert_array_equal(future.result()["y"], row / 2 + 1)


def test_the_parameters_file(tmp_path: Path) -> None:
    path = tmp_path / "batching"
    path.write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 7 }\n"
        "max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\n"
        "allowed_batch_sizes: 64 allowed_batch_sizes: 128 pad_variable_length_inputs: true\n"
    )
    assert read_batching(path) == Batching(128, 7, 1_000_000, 8, (64, 128), max_execution_size=128)
    path.write_text("")
    assert read_batching(path) == Batching()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_sise { value: 1 }", "Error parsing text-format"),
        ("max_batch_size { value: 0 }", "1 or more"),
        ("max_batch_size { value: 9 } allowed_batch_sizes: 8", "must match max_batch_size"),
        ("allowed_batch_sizes: 2 allowed_batch_sizes: 2", "rising"),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 1001 }",
            r"max_batch_size \(1000\) at most",
        ),
    ],
)
def test_wrong_parameters(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "batching"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_batching(path)
    with pytest.raises(PipelineError, match="cannot be read"):
        read_batching(tmp_path / "none")
