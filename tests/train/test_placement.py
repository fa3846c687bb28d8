"""Who trains where: what schedulers tell, what `auto` chooses, what is refused with a remedy."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.train.cluster import Cluster, cluster_of
from pipeline.train.placement import free_addresses, place
from pipeline.train.plan import plan
from pipeline.train.scaling import LEAST_WARMUP_FRACTION, scaled_rate
from tests.train.worlds import settings

WORKERS = ["a:1", "b:2"]


def tf_config(index: int = 0, kind: str = "worker", **cluster: list[str]) -> dict[str, str]:
    told = {"cluster": cluster or {"worker": WORKERS}, "task": {"type": kind, "index": index}}
    return {"TF_CONFIG": json.dumps(told)}


def test_a_cluster_is_read_back_as_it_was_told() -> None:
    assert cluster_of({}) is None
    cluster = cluster_of(tf_config(1))
    assert cluster == Cluster(("a:1", "b:2"), 1)
    assert not cluster.is_chief
    assert cluster.port == 2
    assert cluster_of({"TF_CONFIG": cluster.as_tf_config()}) == cluster


def test_the_chief_of_a_tfjob_is_worker_0() -> None:
    groups = {"chief": ["c:9"], "worker": WORKERS}
    assert cluster_of(tf_config(0, "chief", **groups)) == Cluster(("c:9", "a:1", "b:2"), 0)
    assert cluster_of(tf_config(1, "worker", **groups)) == Cluster(("c:9", "a:1", "b:2"), 2)
    assert cluster_of({"TF_CONFIG": '{"cluster": {}, "environment": "cloud"}'}) is None


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG cannot be read"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "cannot be read .*task"),
        (tf_config(2), "worker 2, but names 2 of that kind"),
        (tf_config(0, "ps"), "a 'ps'"),
        (tf_config(worker=["a:1", "b"]), "'b', which is no host:port"),
        (tf_config(worker=["a:1", "a:99999"]), "'a:99999', which is no host:port"),
        (tf_config(worker=["a:1", "a:1"]), "an address twice"),
    ],
)
def test_a_tf_config_that_makes_no_sense_is_refused(told: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){message}.*expected.*host:port.*to do"):
        cluster_of(told)


def test_slurm_names_its_nodes() -> None:
    told = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "node[07-08]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_PROCID": "3",
        "SLURM_NTASKS": "4",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        cluster = cluster_of(told)
    assert cluster is not None
    assert [address.split(":")[0] for address in cluster.addresses] == [
        "node07",
        "node07",
        "node08",
        "node08",
    ]
    assert len(set(cluster.addresses)) == 4
    assert cluster.index == 3


def placed(environment: dict[str, str] | None = None, gpus: int = 0, **changes: Any) -> Any:
    return place(settings(**changes), environment or {}, gpus)


@pytest.mark.parametrize(
    ("environment", "gpus", "strategy", "why"),
    [
        ({}, 0, "one_device", "take longer to start than they save"),
        ({}, 1, "one_device", "one GPU"),
        ({}, 4, "mirrored", "4 GPUs"),
        (tf_config(0), 4, "multi_worker", "named 2 workers"),
    ],
)
def test_auto_takes_what_is_there_and_says_why(
    environment: dict[str, str], gpus: int, strategy: str, why: str
) -> None:
    found = placed(environment, gpus, strategy__name="auto")
    assert found.strategy == strategy
    assert why in found.why


def test_local_workers_get_addresses_of_their_own() -> None:
    assert placed(strategy__name="multi_worker", launcher__workers=3).processes == 3
    assert len(set(free_addresses(20))) == 20


@pytest.mark.parametrize("strategy", ["auto", "one_device"])
def test_a_number_of_threads_takes_a_process_of_its_own(strategy: str) -> None:
    assert placed(strategy__name=strategy).processes == 0
    found = placed(strategy__name=strategy, launcher__threads=2)
    assert (found.strategy, found.processes, found.replicas) == ("one_device", 1, 1)
    assert "2 threads" in found.why


@pytest.mark.parametrize(
    ("strategy", "address", "processes", "why"),
    [
        ("multi_worker", None, 1, "a Ray of its own"),
        ("auto", "head:6379", 1, "the Ray at head:6379"),
        ("one_device", None, 0, "of this machine .on Ray train with strategy=multi_worker"),
    ],
)
def test_ray_takes_even_one_worker(
    strategy: str, address: str | None, processes: int, why: str
) -> None:
    changes = {"launcher__name": "ray", "launcher__address": address, "launcher__workers": 1}
    found = placed(strategy__name=strategy, **changes)
    assert found.processes == processes
    assert re.search(why, found.why)


@pytest.mark.parametrize(
    ("environment", "changes", "message"),
    [
        ({}, {"strategy__logical_devices": 2}, "logical_devices=2 with strategy=one_device"),
        (
            {},
            {"strategy__name": "multi_worker", "launcher__workers": 1},
            "launcher.workers=1.*one_device",
        ),
        (
            {},
            {"strategy__name": "multi_worker", "launcher__name": "external"},
            "no scheduler has named.*docs/training.md",
        ),
        (
            tf_config(1),
            {"strategy__name": "multi_worker", "launcher__name": "external"},
            "worker 1; the stage is the chief's.*pipeline.train.worker",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    environment: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        placed(environment, **changes)


@pytest.mark.parametrize(
    ("rows", "batch", "shares", "message"),
    [
        (1000, 65, 2, "global_batch_size=65 .* 2 equal parts.*global_batch_size=64"),
        (1000, 2, 4, "global_batch_size=2 .* 4 equal parts.*global_batch_size=4"),
        (3, 64, 4, "of 3 rows cannot be cut into 4"),
    ],
)
def test_a_batch_that_cannot_be_shared_out_is_refused(
    rows: int, batch: int, shares: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        plan(rows, batch, 32, shares)


def test_a_batch_is_cut_to_a_small_split_in_whole_shares() -> None:
    assert plan(599, 1000, 32, 4).batch_rows == 596


@pytest.mark.parametrize(("rule", "factor"), [("none", 1.0), ("linear", 4.0), ("sqrt", 2.0)])
def test_the_rate_follows_the_batch(rule: str, factor: float) -> None:
    config = settings(strategy__learning_rate_scaling=rule, train__schedule__warmup_fraction=0.0)
    rate, schedule = scaled_rate(config, 4 * config.strategy.base_batch_size)
    assert rate == pytest.approx(factor * config.train.optimizer.learning_rate)
    assert schedule.warmup_fraction == (0.0 if rule == "none" else LEAST_WARMUP_FRACTION)
