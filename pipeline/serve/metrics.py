"""What the server counts, under the names and in the text of the real server's Prometheus page.

Names and buckets: TensorFlow Serving's servables/tensorflow/util.cc; text: prometheus_exporter.cc.
Kept here and not by prometheus_client, whose counters bear other names (`..._total`) and whose
histograms take as long as a small model; the figures of the process are prometheus_client's.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from pipeline.serve.status import Code, ServingError

DEFAULT_PATH = "/monitoring/prometheus/metrics"

_PREFIX = ":tensorflow:serving:"
_LATENCIES = tuple(10 * 1.8**power for power in range(33))
"""Upper bounds in microseconds."""
_COUNTS = tuple(2.0**power for power in range(15))
_MOST_NAMES = 1000
"""Model names that are told apart; what a client makes up beyond them is counted under ''."""


class Metrics:
    """The counters and distributions of one server; any thread may add to them."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self._names: set[str] = set()
        self._requests = Counter("request_count", ("model_name", "status"), lock)
        self._examples = Counter("request_example_count_total", ("model",), lock)
        self._latency = Distribution(
            "request_latency", ("model_name", "API", "entrypoint"), lock, _LATENCIES
        )
        self._runtime = Distribution(
            "runtime_latency", ("model_name", "API", "runtime"), lock, _LATENCIES
        )
        self._example_counts = Distribution("request_example_counts", ("model",), lock, _COUNTS)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    @contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that the block answers, and how long a good answer took."""
        name = self._name(model)
        start = time.perf_counter()
        status = Code.OK
        try:
            yield
        except ServingError as error:
            status = error.code
            raise
        except BaseException:
            status = Code.INTERNAL
            raise
        finally:
            self._requests.add((name, status.name))
            if status is Code.OK:
                self._latency.add((name, api, entrypoint), (time.perf_counter() - start) * 1e6)

    def ran(self, model: str, api: str, seconds: float) -> None:
        """Adds one run of a graph."""
        self._runtime.add((model, api, "TF1"), seconds * 1e6)

    def examples(self, model: str, count: int) -> None:
        """Adds the tf.Examples of one request."""
        self._example_counts.add((model,), count)
        self._examples.add((model,), count)

    def _name(self, model: str) -> str:
        if model not in self._names and len(self._names) < _MOST_NAMES:
            self._names.add(model)
        return model if model in self._names else ""

    def first_value(self, name: str) -> int:
        """A counter's first value, by a name such as `/tensorflow/serving/request_count`; else 0.

        What the real server's reload answer tells of the metrics it was asked for.
        """
        for counter in (self._requests, self._examples):
            if counter.name == name.replace("/", ":"):
                return next(iter(counter.values.values()), 0)
        return 0

    def page(self) -> bytes:
        """The Prometheus text."""
        kept = (
            self._requests,
            self._examples,
            self._latency,
            self._runtime,
            self._example_counts,
        )
        lines = "".join(f"{line}\n" for metric in kept for line in metric.lines())
        return lines.encode() + generate_latest(self._process)


class Counter:
    """A number for each combination of labels.

    Args:
        name: As the real server has it, after `/tensorflow/serving/`.
        labels: Their names.
        lock: Held while a value changes.
    """

    def __init__(self, name: str, labels: tuple[str, ...], lock: threading.Lock) -> None:
        self.name = _PREFIX + name
        self.values: dict[tuple[str, ...], int] = {}
        self._labels = labels
        self._lock = lock

    def add(self, labels: tuple[str, ...], count: int = 1) -> None:
        """Adds `count`."""
        with self._lock:
            self.values[labels] = self.values.get(labels, 0) + count

    def lines(self) -> Iterator[str]:
        """Its part of the page."""
        yield f"# TYPE {self.name} counter"
        for labels, value in list(self.values.items()):
            yield f"{self.name}{{{_shown(self._labels, labels)}}} {value}"


class Distribution:
    """How many values lay in each bucket, for each combination of labels.

    Args:
        name: See `Counter`.
        labels: See `Counter`.
        lock: See `Counter`.
        bounds: Upper bounds of the buckets, rising; a last one without bound is added.
    """

    def __init__(
        self, name: str, labels: tuple[str, ...], lock: threading.Lock, bounds: Sequence[float]
    ) -> None:
        self.name = _PREFIX + name
        self._labels = labels
        self._lock = lock
        self._bounds = bounds
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        """Adds a value."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
            counts[bucket] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterator[str]:
        """Its part of the page."""
        yield f"# TYPE {self.name} histogram"
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        for labels, counts in list(self._counts.items()):
            shown = _shown(self._labels, labels)
            for bound, count in zip(bounds, accumulate(counts), strict=True):
                yield f'{self.name}_bucket{{{shown},le="{bound}"}} {count}'
            yield f"{self.name}_sum{{{shown}}} {self._sums[labels]:g}"
            yield f"{self.name}_count{{{shown}}} {sum(counts)}"


def _shown(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(
        f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
