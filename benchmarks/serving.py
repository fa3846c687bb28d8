"""The embedded server against the same signature in process, and against `mlflow models serve`.

    python benchmarks/serving.py                    everything, some 3 minutes
    python benchmarks/serving.py --seconds 1 --memory-seconds 0 --peer no
    python benchmarks/serving.py --exported models/serving/flights    a real export as well
    python benchmarks/serving.py --write            also writes docs/benchmarks.md

Two models, made here: `columns` is what the pipeline exports (ten numbers and five words a row, in
a SavedModel from raw columns), `keras` a small dense Keras model of 30 numbers, which MLflow can
serve too: with its keras flavour and the exported SavedModel, which is its fastest. The load comes
from another process on the same machine (benchmarks/serving_load.py). Sides:

- floor: the signature run in a session of this process, set up as the server's is, one caller;
- gRPC, REST: the server in a process of its own, callers of 64 rows, one and several at a time;
- no model: the same bytes sent back by a gRPC server without a model (benchmarks/serving_echo.py),
  grpcio's own and the embedded server's threads: what gRPC itself takes, and the client;
- 32 callers of one row each, with batching, against MLflow's server with the same callers;
- start: from the process to the first answer, less TensorFlow's import and the model's load;
- swap: a new version is published under load; failed requests and p99 meanwhile;
- memory: growth of resident memory over a mixed load after warming up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from document import table, write_section  # noqa: E402

from pipeline.core import runtime  # noqa: E402

runtime.quiet_tensorflow()

import keras  # noqa: E402
import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import requests  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # noqa: E402

from pipeline.core.features import (  # noqa: E402
    CategoricalFeature,
    Column,
    FeatureSet,
    Label,
    NumericFeature,
)
from pipeline.core.model import end_to_end  # noqa: E402
from pipeline.core.saved_model import write_saved_model  # noqa: E402
from pipeline.core.server_process import Running, running  # noqa: E402
from pipeline.core.session import SavedModelSession  # noqa: E402
from pipeline.serve.loading import loading_of  # noqa: E402
from pipeline.serve.options import SessionOptions  # noqa: E402

NUMBERS = tuple(f"n{i}" for i in range(10))
WORDS = {"carrier": 16, "origin": 3, "dest": 100, "maker": 15, "engine": 5}
CALLERS = 32
SEVERAL = (1, 4, 8)
NO_MODEL = {"grpcio": "no model, grpcio's own server", "threads": "no model, this server's threads"}
ROWS = 64
BATCHING = """max_batch_size { value: 128 } batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 1000 } num_batch_threads { value: 1 }"""

Arrays = dict[str, np.ndarray]


def write_columns_model(base: Path) -> None:
    """BASE/1 and BASE/2: a model as the pipeline exports it, never trained."""
    columns = [Column(name=name, dtype="float64") for name in NUMBERS]
    columns += [Column(name=name, dtype="string") for name in WORDS]
    numbers = [NumericFeature(name=name, column=name) for name in NUMBERS]
    words = [
        CategoricalFeature(name=name, column=name, vocabulary=tuple(f"{name}{i}" for i in range(n)))
        for name, n in WORDS.items()
    ]
    label = Label(column="y", task="binary", classes=("no", "yes"))
    features = FeatureSet(columns=tuple(columns), label=label, features=(*numbers, *words), rows={})
    dense = keras.Input((len(features.dense_names),), name="dense")
    indices = keras.Input((len(features.index_columns),), dtype="int32", name="indices")
    parts = [
        keras.layers.Embedding(column.cardinality, 8)(indices[:, position])
        for position, column in enumerate(features.index_columns)
    ]
    hidden = keras.layers.Concatenate()([dense, *parts])
    for units in (128, 64):
        hidden = keras.layers.Dense(units, activation="relu", name=f"hidden_{units}")(hidden)
    core = keras.Model(
        {"dense": dense, "indices": indices}, keras.layers.Dense(1, name="logits")(hidden)
    )
    for version in (1, 2):
        write_saved_model(end_to_end(features, core), features, base / str(version), version)


def write_keras_model(base: Path, mlflow_folder: Path) -> None:
    """The Keras model as MLflow keeps it, and its SavedModel as BASE/1."""
    x = keras.Input((30,), name="x")
    hidden = keras.layers.Dense(64, activation="relu")(x)
    hidden = keras.layers.Dense(64, activation="relu")(hidden)
    model = keras.Model(x, keras.layers.Dense(1, activation="sigmoid")(hidden))
    rows = np.zeros((2, 30), np.float32)
    mlflow.keras.save_model(
        model,
        str(mlflow_folder),
        save_exported_model=True,
        signature=mlflow.models.infer_signature(rows, model.predict(rows, verbose=0)),
        pip_requirements=["tensorflow"],
    )
    shutil.copytree(mlflow_folder / "data" / "model", base / "1")


def column_rows(rows: int) -> Arrays:
    """Rows for the model `columns`."""
    rng = np.random.default_rng(0)
    found: Arrays = {name: rng.normal(size=rows) for name in NUMBERS}
    for name, count in WORDS.items():
        words = [f"{name}{i}".encode() for i in rng.integers(0, count, rows)]
        found[name] = np.array(words, object)
    return found


def keras_rows(rows: int) -> Arrays:
    """Rows for the model `keras`; the name is what Keras calls its one input when exporting."""
    return {"inputs": np.random.default_rng(0).normal(size=(rows, 30)).astype(np.float32)}


def exported_rows(version: Path) -> Callable[[int], Arrays]:
    """The first row that a version of the pipeline's is warmed up with, as often as wanted."""
    records = tf.data.TFRecordDataset(str(version / "assets.extra" / "tf_serving_warmup_requests"))
    log = prediction_log_pb2.PredictionLog.FromString(next(records.as_numpy_iterator()))
    inputs = log.predict_log.request.inputs
    row = {name: tf.make_ndarray(tensor)[:1] for name, tensor in inputs.items()}
    return lambda rows: {name: np.repeat(array, rows) for name, array in row.items()}


def grpc_request(arrays: Arrays) -> bytes:
    """A PredictRequest."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request.SerializeToString()


def json_request(arrays: Arrays) -> bytes:
    """A body in columns, as both servers take it where there is one input."""
    plain = {
        name: [one.decode() for one in array] if array.dtype == object else array.tolist()
        for name, array in arrays.items()
    }
    inputs = plain if len(plain) > 1 else next(iter(plain.values()))
    return json.dumps({"inputs": inputs}).encode()


def floor(folder: Path, arrays: Arrays, seconds: float) -> float:
    """Runs of the signature per second in this process."""
    with loading_of(SessionOptions()).session(folder) as session:
        signature = session.signatures["serving_default"]
        feeds = {signature.inputs[name].name: array for name, array in arrays.items()}
        fetches = [info.name for info in signature.outputs.values()]
        for _ in range(20):
            session.run(feeds, fetches)
        began, runs = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            session.run(feeds, fetches)
            runs += 1
        return runs / (time.perf_counter() - began)


class Load:
    """A running load generator."""

    def __init__(
        self, address: str, request: bytes, callers: int, seconds: float, path: str = ""
    ) -> None:
        """Starts; with a path over HTTP, else over gRPC."""
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "request"
        file.write_bytes(request)
        command = [sys.executable, str(Path(__file__).with_name("serving_load.py"))]
        command += ["http" if path else "grpc", address.partition("://")[2] or address]
        command += [str(file), "--path", path, "--clients", str(callers)]
        self._process = subprocess.Popen(
            [*command, "--seconds", str(seconds)], stdout=subprocess.PIPE
        )

    def result(self) -> dict[str, float]:
        """Waits for its end."""
        output = self._process.communicate()[0]
        self._folder.cleanup()
        if self._process.returncode:
            raise SystemExit("the load generator failed")
        found: dict[str, float] = json.loads(output)
        return found


def measured(*arguments: Any, **settings: Any) -> dict[str, float]:
    """One load from start to end; none of its requests may fail."""
    found = Load(*arguments, **settings).result()
    if found["failed"]:
        raise SystemExit(f"{found['failed']:.0f} requests failed")
    return found


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """`mlflow models serve` with its defaults, in this environment; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = Path(sys.executable).parent
    serve = [str(programs / "mlflow"), "models", "serve", "--model-uri", str(folder)]
    process = subprocess.Popen(
        [*serve, "--host", "127.0.0.1", "--port", str(port), "--env-manager", "local"],
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(1200):
            try:
                requests.get(f"http://127.0.0.1:{port}/ping", timeout=1).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def echo(kind: str) -> Iterator[str]:
    """A gRPC server without a model, see benchmarks/serving_echo.py; yields its address."""
    program = Path(__file__).with_name("serving_echo.py")
    process = subprocess.Popen(
        [sys.executable, str(program), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait()


def flags(base: Path, *more: str) -> list[str]:
    """Flags for one model `m`."""
    return ["--model_name=m", f"--model_base_path={base}", *more]


def called(callers: int) -> str:
    """`1 caller`, `4 callers`."""
    return f"{callers} caller{'s' * (callers > 1)}"


def against_floor(
    base: Path, version: str, rows_of: Callable[[int], Arrays], seconds: float
) -> list[list[str]]:
    """Rows of the table: floor, gRPC without a model, gRPC and REST, 64 rows a request."""
    arrays = rows_of(ROWS)
    request = grpc_request(arrays)
    before = floor(base / version, arrays, seconds)
    found = {}
    for kind, side in NO_MODEL.items():
        with echo(kind) as address:
            for callers in SEVERAL[:2]:
                found[f"{side}, {called(callers)}"] = measured(address, request, callers, seconds)
    with running(arguments=flags(base)) as server:
        for callers in SEVERAL:
            found[f"gRPC, {called(callers)}"] = measured(server.grpc_url, request, callers, seconds)
        path = "/v1/models/m:predict"
        found["REST, 1 caller"] = measured(
            server.rest_url, json_request(arrays), 1, seconds, path=path
        )
    base_rate = (before + floor(base / version, arrays, seconds)) / 2
    alone = floor(base / version, rows_of(1), seconds)
    rows = [["floor, 1 row", f"{alone:,.0f}", "", ""]]
    rows.append(["floor", f"{ROWS * base_rate:,.0f}", "1.00", f"{1e3 / base_rate:.2f}"])
    for name, side in found.items():
        rate = side["per_second"]
        rows.append(
            [name, f"{ROWS * rate:,.0f}", f"{rate / base_rate:.2f}", f"{side['p50_ms']:.2f}"]
        )
    return rows


def against_mlflow(base: Path, peer: Path, folder: Path, seconds: float) -> list[list[str]]:
    """Rows of the table: many callers of one row, and one of 64, here and at MLflow."""
    batching = folder / "batching.config"
    batching.write_text(BATCHING, encoding="utf-8")
    one, many = keras_rows(1), keras_rows(ROWS)
    path = "/v1/models/m:predict"
    batched = ("--enable_batching", f"--batching_parameters_file={batching}")
    with running(arguments=flags(base, *batched)) as server:
        ours = {
            "gRPC, 32 callers of 1 row": measured(
                server.grpc_url, grpc_request(one), CALLERS, seconds
            ),
            "REST, 32 callers of 1 row": measured(
                server.rest_url, json_request(one), CALLERS, seconds, path=path
            ),
            "REST, 1 caller of 64 rows": measured(
                server.rest_url, json_request(many), 1, seconds, path=path
            ),
        }
    with mlflow_server(peer) as address:
        crowd = measured(address, json_request(one), CALLERS, seconds, path="/invocations")
        large = measured(address, json_request(many), 1, seconds, path="/invocations")
    rows = []
    for name, found in ours.items():
        other = large if name.endswith("64 rows") else crowd
        rows.append(
            [
                name,
                f"{found['per_second']:,.0f}",
                f"{other['per_second']:,.0f}",
                f"{found['per_second'] / other['per_second']:.1f}",
                f"{found['p99_ms']:.1f}",
                f"{other['p99_ms']:.1f}",
            ]
        )
    return rows


def start_seconds(base: Path) -> tuple[float, float]:
    """Seconds from start to first answer, and of that TensorFlow's import and the model's load."""
    code = "import time; t = time.perf_counter(); import tensorflow; print(time.perf_counter() - t)"
    alone = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    began = time.perf_counter()
    SavedModelSession(base / "1").close()
    given = float(alone.stdout) + time.perf_counter() - began
    began = time.perf_counter()
    body = json_request(column_rows(1))
    with running(arguments=flags(base)) as server:
        answer = requests.post(f"{server.rest_url}/v1/models/m:predict", body, timeout=60)
        answer.raise_for_status()
        return time.perf_counter() - began, given


def swap(base: Path, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """A load without and one with a new version in its midst, 200 requests in flight."""
    moving = base.with_name("moving")
    moving.mkdir()
    shutil.copytree(base / "1", moving / "1")
    request = grpc_request(column_rows(1))
    with running(arguments=flags(moving, "--file_system_poll_wait_seconds=0.1")) as server:
        usual = measured(server.grpc_url, request, 200, seconds)
        load = Load(server.grpc_url, request, 200, seconds)
        time.sleep(seconds / 2)
        shutil.copytree(base / "2", moving / ".aside")
        (moving / ".aside").rename(moving / "2")
        during = load.result()
        status = requests.get(f"{server.rest_url}/v1/models/m", timeout=60).json()
    states = {one["version"]: one["state"] for one in status["model_version_status"]}
    if states.get("2") != "AVAILABLE":
        raise SystemExit(f"the new version did not take over: {states}")
    return usual, during


def mixed_load(server: Running, seconds: float) -> None:
    """Both protocols, small and large requests, good and bad ones, beside each other."""
    path = "/v1/models/m:predict"
    loads = [
        Load(server.grpc_url, grpc_request(column_rows(1)), 4, seconds),
        Load(server.grpc_url, grpc_request(column_rows(ROWS)), 2, seconds),
        Load(server.rest_url, json_request(column_rows(ROWS)), 2, seconds, path=path),
        Load(server.rest_url, b'{"instances": [', 2, seconds, path=path),
    ]
    for load in loads:
        load.result()


def memory(base: Path, seconds: float) -> tuple[float, float]:
    """Resident MiB after a third of the load, which warms up, and at its end."""
    with running(arguments=flags(base, "--enable_batching")) as server:
        process = psutil.Process(server.process.pid)
        mixed_load(server, seconds / 3)
        warm = process.memory_info().rss
        mixed_load(server, 2 * seconds / 3)
        return warm / 2**20, process.memory_info().rss / 2**20


def report(options: argparse.Namespace, folder: Path) -> list[str]:
    """Measures; Markdown."""
    keras.utils.set_random_seed(0)
    columns, plain, peer = folder / "columns", folder / "keras", folder / "mlflow"
    write_columns_model(columns)
    head = ["64 rows a request", "rows/s", "of the floor", "p50 ms"]
    lines = [*table(head, against_floor(columns, "1", column_rows, options.seconds)), ""]
    if options.exported:
        version = max(options.exported.iterdir(), key=lambda path: int(path.name))
        found = against_floor(
            options.exported, version.name, exported_rows(version), options.seconds
        )
        lines += [
            f"The same with the exported model `{options.exported}`:",
            "",
            *table(head, found),
        ]
        lines.append("")
    if options.peer == "yes":
        write_keras_model(plain, peer)
        head = ["side", "requests/s", "MLflow", "ratio", "p99 ms", "MLflow"]
        lines += [*table(head, against_mlflow(plain, peer, folder, options.seconds)), ""]
    whole, given = start_seconds(columns)
    lines.append(
        f"Start to first answer {whole:.1f} s, {given:.1f} s of it TensorFlow's import and the"
        " model's load."
    )
    usual, during = swap(columns, 2 * options.seconds)
    lines.append(
        f"Hot swap under 200 requests in flight: {during['failed']:.0f} of"
        f" {during['requests']:,.0f} failed, p99 {during['p99_ms']:.0f} ms"
        f" ({usual['p99_ms']:.0f} ms without)."
    )
    if options.memory_seconds:
        warm, end = memory(columns, options.memory_seconds)
        lines.append(
            f"Resident memory over {options.memory_seconds:.0f} s of mixed load: {warm:.0f} MiB"
            f" after warming up, {end:.0f} MiB at the end ({end / warm - 1:+.1%})."
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--memory-seconds", type=float, default=60, help="0 leaves it out")
    parser.add_argument("--exported", type=Path, help="e.g. models/serving/NAME")
    parser.add_argument("--peer", choices=["yes", "no"], default="yes")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        lines = report(options, Path(folder))
    print(*lines, sep="\n")
    if options.write:
        write_section("serving", "python benchmarks/serving.py", lines)


if __name__ == "__main__":
    main()
