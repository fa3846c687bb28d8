"""A profile that TensorBoard's profiler reads: a file of traces, with the calls as its steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from pipeline.core.artifacts import STATE
from pipeline.train.profiler import CALLS, FIRST_CALL
from tests.train.worlds import processed, train


def steps(path: Path) -> list[int]:
    """Numbers of the steps of a profile: events with the stat `step_num`."""
    found = []
    for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
        names = {key: stat.name for key, stat in plane.stat_metadata.items()}
        events = (event for line in plane.lines for event in line.events)
        stats = (stat for event in events for stat in event.stats)
        found += [stat.int64_value for stat in stats if names[stat.metadata_id] == "step_num"]
    return sorted(found)


@pytest.mark.parametrize(
    ("steps_per_call", "calls"),
    [(1, CALLS), (5, 1)],  # ten steps an epoch: of two calls the second is all there is
)
def test_a_profile_holds_its_calls_as_steps(
    tmp_path: Path, steps_per_call: int, calls: int
) -> None:
    artifacts = processed(tmp_path, "binary")
    options = {"train__steps_per_execution": steps_per_call, "train__epochs": 1}
    train(artifacts, "linear", train__profile=True, **options)
    folder = tmp_path / STATE / "tensorboard"
    (profile,) = folder.glob("*/plugins/profile/*/*.xplane.pb")  # where the profiler looks for it
    assert steps(profile) == list(range(FIRST_CALL, FIRST_CALL + calls))
