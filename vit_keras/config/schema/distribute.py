"""The settings `distribute.*`."""

from dataclasses import dataclass
from typing import Any

from vit_keras.validators import setting


@dataclass
class DistributeConfig:
    """Devices and processes that share the training of a run; of a command, not of the run."""

    devices: Any = setting(
        "auto",
        "Devices of this machine, or of each process, that share each batch; auto is as many as "
        "divide it of those that JAX has, or of the GPUs with TensorFlow. train.batch_size is of "
        "all of them together.",
        words=("auto",),
        at_least=1,
        label="Devices that share each batch",
    )
    model_parallel: int = setting(
        1,
        "Devices among which the kernels of the encoder blocks are divided, with "
        "KERAS_BACKEND=jax, for a model that does not fit one; they have the same share of a "
        "batch.",
        at_least=1,
        label="Devices that divide the model",
    )
    processes: Any = setting(
        1,
        "Processes that train one run together, with KERAS_BACKEND=jax: the same command in each, "
        "on any number of machines. With auto, Slurm, Kubernetes or Open MPI say how many and "
        "where.",
        words=("auto",),
        at_least=1,
    )
    process_id: int | None = setting(
        None, "Number of this process, from 0; process 0 writes the run directory.", at_least=0
    )
    coordinator: str | None = setting(
        None, "Address of process 0 as host:port, of a free port that all processes can reach."
    )
