"""The command line of tensorflow_model_server: every flag it has, and the files they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError, UsageError
from pipeline.serve.flag_parser import REFUSED, WITHOUT_EFFECT
from pipeline.serve.flags import parse_flags
from pipeline.serve.metrics import DEFAULT_PATH
from pipeline.serve.options import Options

MODEL = "--model_base_path=/models/a"

TAKEN = [
    *("--port=8500", "--grpc_socket_path=/tmp/a.sock", "--rest_api_port=8501"),
    *("--rest_api_num_threads=8", "--rest_api_timeout_in_ms=-1"),
    *("--rest_api_enable_cors_support=true", "--enable_batching", "--enable_batching=false"),
    *(
        "--allow_version_labels_for_unavailable_models=true",
        "--model_config_file_poll_wait_seconds=60",
    ),
    *("--enable_per_model_batching_parameters=true", "--model_name=a", "--num_load_threads=2"),
    *("--num_unload_threads=2", "--max_num_load_retries=0", "--load_retry_interval_micros=-1"),
    *("--file_system_poll_wait_seconds=0", "--flush_filesystem_caches=false"),
    *("--tensorflow_session_parallelism=2", "--tensorflow_intra_op_parallelism=1"),
    *("--tensorflow_inter_op_parallelism=1", "--use_alts_credentials=false"),
    *("--platform_config_file=", "--per_process_gpu_memory_fraction=0.5"),
    *("--saved_model_tags=serve,gpu", "--grpc_max_threads=8"),
    "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
    *("--enable_model_warmup=false", "--num_request_iterations_for_warmup=3"),
    *("--remove_unused_fields_from_bundle_metagraph=true", "--prefer_tflite_model=false"),
    *("--num_tflite_pools=2", "--num_tflite_interpreters_per_pool=1"),
    *("--enable_signature_method_name_check", "--xla_cpu_compilation_enabled"),
    *("--xla_gpu_compilation_enabled=false", "--enable_profiler=true"),
    *("--thread_pool_factory_config_file=", "--mixed_precision=", "--skip_initialize_tpu=true"),
    *("--enable_grpc_healthcheck_service=true", "--enable_serialization_as_tensor_content"),
]


def parsed(*flags: str) -> Options:
    options = parse_flags([MODEL, *flags])
    assert options is not None
    return options


@pytest.mark.parametrize("flag", TAKEN)
def test_every_flag_is_taken(flag: str) -> None:
    parsed(flag)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_answers_is_refused(name: str) -> None:
    for flag in (f"--{name}", f"--{name}=true", f"--{name}=bfloat16"):
        with pytest.raises(UsageError, match=f"--{name} is a flag of tensorflow_model_server"):
            parsed(flag)


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_tuning_of_the_real_server_changes_nothing(name: str) -> None:
    assert parsed(f"--{name}=1") == parsed()


def test_defaults() -> None:
    options = parsed()
    assert (options.grpc_port, options.rest_port) == (8500, None)
    assert (options.poll_seconds, options.config_poll_seconds) == (1, 0)
    assert (options.retries.limit, options.retries.interval_seconds) == (5, 60)
    assert (options.warm_up, options.check_methods, options.early_labels) == (1, False, False)
    assert options.rest.timeout_seconds == 30
    assert options.rest.metrics_path is None
    assert options.session.batching is None
    assert options.session.tags == ("serve",)
    (model,) = options.models
    assert (model.name, model.base_path, model.newest) == ("default", Path("/models/a"), 1)
    assert parsed("--rest_api_timeout_in_ms=0").rest.timeout_seconds is None
    assert parsed("--rest_api_timeout_in_ms=-5").rest.timeout_seconds is None
    assert parsed("--port=0", "--grpc_socket_path=a").grpc_port is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", DEFAULT_PATH),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ('prometheus_config { enable: false, path: "/metrics" }', None),
        ("", None),
    ],
)
def test_where_the_metrics_are(tmp_path: Path, text: str, path: str | None) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert parsed(f"--monitoring_config_file={file}").rest.metrics_path == path


def test_batching_parameters(tmp_path: Path) -> None:
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\n"
        'thread_pool_name { value: "threads" }\nallowed_batch_sizes : [64, 128]\n'
        "pad_variable_length_inputs: true\n"
    )
    batching = parsed("--enable_batching", f"--batching_parameters_file={file}").session.batching
    assert batching is not None
    assert (batching.max_batch_size, batching.max_enqueued_batches) == (128, 1_000_000)
    assert (batching.threads, batching.allowed_sizes) == (8, (64, 128))
    plain = parsed("--enable_batching").session.batching
    assert plain is not None
    assert (plain.max_batch_size, plain.timeout_micros, plain.max_enqueued_batches) == (1000, 0, 10)


CONFIGS = [
    ("improperly formatted file", "Error parsing text-format tensorflow.serving.ModelServerConfig"),
    (
        (
            'model_config_list { config { name: "a" base_path: "/a" model_platform: "tensorflow" } '
            'config { name: "a" base_path: "/b" model_platform: "tensorflow" } }'
        ),
        "Illegal to list model a multiple times in config list",
    ),
    (
        'model_config_list { config { name: "a" base_path: "b" model_platform: "tensorflow" } }',
        "Expected model a to have an absolute path or URI; got base_path()=b",
    ),
    (
        'model_config_list { config { name: "a" base_path: "/a" } }',
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor",
    ),
    (
        'model_config_list { config { name: "a" base_path: "/a" model_platform: "x" } }',
        "Model a requests unsupported platform x",
    ),
]


@pytest.mark.parametrize(("text", "words"), CONFIGS)
def test_model_configs_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "models.config"
    file.write_text(text)
    with pytest.raises(PipelineError) as caught:
        parse_flags([f"--model_config_file={file}"])
    assert words in str(caught.value)


def test_a_model_config_as_the_documents_write_it(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(
        "model_config_list: {\n  config: {\n    name: 'first',\n    base_path: 'file:///tmp/first/',\n"
        "    model_platform: 'tensorflow'\n    model_version_policy: { specific: {\n"
        "      versions: 42\n      versions: 43 } }\n"
        "    version_labels { key: 'stable' value: 42 }\n"
        "    version_labels { key: 'canary' value: 43 }\n  },\n"
        "  config { name: 'second' base_path: '/tmp/second' model_type: TENSORFLOW\n"
        "    model_version_policy { latest { num_versions: 2 } } }\n"
        "  config { name: 'third' base_path: '/tmp/third' model_platform: 'tensorflow'\n"
        "    model_version_policy { all {} } }\n}\n"
    )
    options = parse_flags([f"--model_config_file={file}"])
    assert options is not None
    first, second, third = options.models
    assert (first.base_path, second.base_path) == (Path("/tmp/first"), Path("/tmp/second"))
    assert (first.specific, first.labels) == ({42, 43}, {"stable": 42, "canary": 43})
    assert (second.newest, second.specific, third.newest) == (2, None, 0)
