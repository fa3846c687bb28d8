"""How busy the machine is, under the names that MLflow gives its system metrics."""

from __future__ import annotations

import psutil
import tensorflow as tf


def machine_metrics() -> dict[str, float]:
    """The CPU since the last call, memory in use now, and the most that TensorFlow took of GPUs."""
    memory = psutil.virtual_memory()
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": (memory.total - memory.available) / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    for number in range(len(tf.config.list_logical_devices("GPU"))):
        peak = tf.config.experimental.get_memory_info(f"GPU:{number}")["peak"]
        found[f"system/gpu_{number}_peak_memory_usage_megabytes"] = peak / 1e6
    return found
