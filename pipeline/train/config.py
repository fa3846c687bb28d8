"""What `train` can be told: `train`, `model`, `strategy` and `launcher` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from pipeline.core.ray_cluster import require_ray
from pipeline.core.schema import config, dump
from pipeline.train.models import ModelConfig, plain, require_allowed


@config
class OptimizerConfig:
    """The optimiser and the numbers it takes; numbers it has no use for are ignored."""

    name: Literal["adam", "adamw", "nadam", "sgd", "rmsprop", "adagrad", "lion"]
    """Which optimiser."""
    learning_rate: float = Field(gt=0)
    """Highest step size; the schedule moves below it."""
    weight_decay: float = Field(ge=0)
    """Decoupled weight decay per step, times the learning rate (all optimisers); 0 is none."""
    momentum: float = Field(ge=0, lt=1)
    """Share of the last step kept (sgd, rmsprop)."""
    beta_1: float = Field(ge=0, lt=1)
    """Decay of the gradient's running mean (adam, adamw, nadam, lion)."""
    beta_2: float = Field(ge=0, lt=1)
    """Decay of the running mean of squares (adam, adamw, nadam, lion; rho of rmsprop)."""
    epsilon: float = Field(gt=0)
    """Keeps a division finite (adam, adamw, nadam, rmsprop, adagrad)."""
    clip_norm: float | None = Field(gt=0)
    """Longest allowed gradient, all weights together (global norm); null does not clip."""


@config
class ScheduleConfig:
    """How the learning rate moves from the first step to the last."""

    name: Literal["constant", "cosine", "exponential"]
    """Its shape after the warm-up."""
    warmup_fraction: float = Field(ge=0, lt=1)
    """Share of all steps in which it rises in a straight line from 0."""
    final_fraction: float = Field(gt=0, le=1)
    """Where it ends, as a share of optimizer.learning_rate (cosine, exponential)."""


@config
class EarlyStoppingConfig:
    """When to stop before `epochs`, and which weights to keep."""

    monitor: Literal["val_loss", "val_auc", "val_accuracy", "val_mae", "val_rmse"]
    """What is watched: val_auc and val_accuracy for classes, val_mae and val_rmse for numbers."""
    patience: int | None = Field(ge=1)
    """Epochs without a better value before training stops; null never stops early."""
    min_delta: float = Field(ge=0)
    """What counts as better: by more than this, in the metric's unit."""
    restore_best: bool
    """Whether the weights of the best epoch are kept instead of the last one's."""


@config
class CheckpointConfig:
    """When the state of a training is saved, so that an interrupted one goes on."""

    every_seconds: float | None = Field(ge=0)
    """Seconds of training between two; null for none by time. Rarer where saving takes long."""
    every_steps: int | None = Field(ge=1)
    """Steps between two, in whole calls into TensorFlow; null for none by steps."""
    keep: int = Field(ge=1)
    """How many of one training are kept, the last ones; a damaged one falls back on another."""


@config
class AugmentConfig:
    """What is done to training rows alone; validation and test rows stay as they are."""

    noise: float = Field(ge=0)
    """Gaussian noise on scaled numbers, in standard deviations of the column; 0 is none."""
    mixup: float = Field(ge=0)
    """Alpha of the Beta distribution by which two rows are mixed; 0 mixes none."""
    resample: Literal["none", "over", "under"]
    """over: rows of rare classes are repeated; under: rows of common ones are left out."""
    ratio: float = Field(gt=0, le=1)
    """Rows of the rarest class for each row of the commonest, after resampling."""


@config
class TrainConfig:
    """How a model is trained, whatever model it is."""

    epochs: int = Field(ge=1)
    """Passes over the training split at most."""
    global_batch_size: int = Field(ge=1)
    """Rows per step, over all replicas together; no more than the training split has."""
    min_steps_per_epoch: int = Field(ge=1)
    """Batches are cut, to 8 rows at least, until an epoch has so many steps; 1 cuts none."""
    seed: int = Field(ge=0, lt=2**31)
    """Decides initial weights, row order and dropout."""
    deterministic: bool
    """Whether two runs must give bit-identical weights, even where that is slower."""
    steps_per_execution: int = Field(ge=1)
    """Steps run in one call into TensorFlow; more is faster and shows progress less often."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    """What layers compute in; weights are float32 in each case. 16 bits: half the memory and more
    speed on GPUs that have units for them, less speed on CPUs."""
    gradient_accumulation: int = Field(ge=1)
    """Parts a batch is taken in, one after another: less memory for activations, less speed."""
    jit_compile: bool
    """Whether XLA compiles the forward and backward pass; pays off on GPUs and long trainings."""
    input: Literal["auto", "memory", "stream"]
    """Rows in memory, or read from disk in blocks; auto streams what is too large for memory."""
    checkpoint: CheckpointConfig
    """When the state is saved."""
    optimizer: OptimizerConfig
    """The optimiser."""
    schedule: ScheduleConfig
    """The learning rate over time."""
    early_stopping: EarlyStoppingConfig
    """When to stop, what to keep."""
    warm_start: str | None = Field(pattern=r"^(models:/[^@/]+(@\w+|/[1-9]\d*)|.+\.keras)$")
    """Earlier model whose weights are copied where layers fit: models:/NAME@champion,
    models:/NAME/VERSION or a .keras file; null begins at random."""
    class_weights: Literal["none", "balanced"] | dict[str, float]
    """Weight of each class in the loss: none, balanced (each class weighs the same), or by name."""
    augment: AugmentConfig
    """Noise, mixtures and resampling of training rows."""
    label_smoothing: float = Field(ge=0, lt=1)
    """Share of each label given evenly to all classes (binary, multiclass)."""
    regression_loss: Literal["squared", "absolute", "huber"]
    """Loss of a regression, on the standardised label."""
    profile: bool
    """Whether some steps of the first epoch are profiled into .pipeline/tensorboard."""
    tensorboard: bool
    """Whether curves are written under .pipeline/tensorboard for `tensorboard --logdir`."""
    allowed_targets: tuple[str, ...]
    """Modules, or parents of modules, that `model._target_` may name: importing one runs it."""


@config
class StrategyConfig:
    """On which devices the steps are computed."""

    name: Literal["auto", "one_device", "mirrored", "multi_worker"]
    """one_device: the first GPU, else the CPU; mirrored: all GPUs of this machine; multi_worker:
    processes that the launcher starts or a scheduler has started; auto: what is there."""
    logical_devices: int | None = Field(ge=2, le=64)
    """Logical CPU devices that mirrored uses instead of GPUs, to try it out; null for GPUs."""
    learning_rate_scaling: Literal["none", "linear", "sqrt"]
    """How the rate follows the batch: as it is, or times the factor or its root by which
    train.global_batch_size is larger than base_batch_size; a larger rate is warmed up to."""
    base_batch_size: int = Field(ge=1)
    """Global batch size for which train.optimizer.learning_rate was chosen."""


@config
class LauncherConfig:
    """Who starts the processes of strategy multi_worker."""

    name: Literal["local", "external", "ray"]
    """local: this stage, on this machine; external: a scheduler (TF_CONFIG, Slurm, TFJob); ray:
    this stage, on a Ray cluster, where `pipeline tune` then runs its trials too."""
    workers: int = Field(ge=1, le=256)
    """Processes that local and ray start; external counts those that the scheduler names."""
    threads: int | None = Field(ge=1)
    """Threads of each process, of strategy one_device too (local); null shares the cores evenly
    (local), or takes cpus_per_worker. More of them than cores, over all processes, wait for each
    other."""
    address: str | None = Field(pattern=r"^(auto|(ray://)?[^:/]+:\d+)$")
    """Ray cluster: host:port, ray://host:port or auto; null starts one here and stops it (ray)."""
    cpus_per_worker: float = Field(gt=0)
    """CPUs that Ray keeps for each worker or trial (ray)."""
    gpus_per_worker: int = Field(ge=0, le=1)
    """GPUs that Ray keeps for each worker or trial (ray)."""
    placement: Literal["pack", "spread"]
    """On as few nodes as can be, or on as many (ray)."""
    start_timeout_seconds: float = Field(gt=0)
    """How long a worker may take to join the others."""
    stall_timeout_seconds: float = Field(gt=0)
    """How long a worker may stay silent while it trains."""
    grace_seconds: float = Field(ge=0)
    """Time to save a checkpoint in when the job is asked to stop."""
    max_restarts: int = Field(ge=0)
    """How often local and ray start the job again, from its checkpoint, when a worker has died."""


@dataclass(frozen=True)
class TrainStageConfig:
    """Everything the stage reads from params.yaml."""

    train: TrainConfig
    model: ModelConfig
    strategy: StrategyConfig
    launcher: LauncherConfig

    def __post_init__(self) -> None:
        """Refuses what cannot be had: a builder that is not allowed, a launcher not installed."""
        require_allowed(self.model, self.train.allowed_targets)
        if self.launcher.name == "ray":
            require_ray()

    def sections(self) -> dict[str, Any]:
        """The plain sections that `STAGE.configure` would make this from."""
        return {
            "train": dump(self.train),
            "model": plain(self.model),
            "strategy": dump(self.strategy),
            "launcher": dump(self.launcher),
        }
