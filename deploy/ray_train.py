"""A training of several machines by Ray Train: `vit-keras train` on each worker.

    python deploy/ray_train.py --workers 8 --gpus 1 recipe=cifar10 run.dir=/shared/run

Ray places the workers, in the cluster of RAY_ADDRESS or on this machine, and starts all of them
again when one is lost. The training is that of `distribute.processes`: JAX connects the workers.
All machines have to see `run.dir`; started again, the run goes on from its last checkpoint.
"""

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path


def main():
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    options.add_argument("--gpus", type=int, default=0, help="of each worker (%(default)s)")
    options.add_argument("--cpus", type=int, default=1, help="of each worker (%(default)s)")
    options.add_argument("--failures", type=int, default=3, help="times to start it again")
    options.add_argument("settings", nargs="+", help="settings of vit-keras train, with run.dir=")
    asked = options.parse_intermixed_args()
    folders = [word.partition("=")[2] for word in asked.settings if word.startswith("run.dir=")]
    if len(folders) != 1:
        options.error("name the folder of the run, which all machines see: run.dir=/shared/run")
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    except ImportError:
        options.error('Ray is not installed here: pip install "vit-keras-lab[cluster,jax]"')

    folder = Path(folders[0]).expanduser().absolute()
    words = [word for word in asked.settings if not word.startswith("run.dir=")]
    resources = {"CPU": asked.cpus} | ({"GPU": asked.gpus} if asked.gpus else {})
    trainer = DataParallelTrainer(
        train,
        train_loop_config={"words": words, "folder": str(folder)},
        scaling_config=ScalingConfig(
            num_workers=asked.workers, use_gpu=asked.gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.parent / ".ray_train"),
            failure_config=FailureConfig(max_failures=asked.failures),
        ),
    )
    trainer.fit()


def train(config):
    """One worker: the command, with what worker 0 has chosen for all."""
    from ray import train
    from ray.train.collective import broadcast_from_rank_zero

    context = train.get_context()
    # All workers go on with a run or begin it, whatever a slow file system shows them.
    words, coordinator = broadcast_from_rank_zero(
        (run_words(Path(config["folder"]), config["words"]), free_address())
    )
    if not words:
        return
    command = [sys.executable, "-m", "vit_keras", "train", *words]
    command += [f"distribute.processes={context.get_world_size()}"]
    command += [f"distribute.process_id={context.get_world_rank()}"]
    command += [f"distribute.coordinator={coordinator}"]
    subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "jax"}, check=True)


def run_words(folder, words):
    """The overrides that begin a run in `folder` or go on with it; none if it is complete."""
    from vit_keras.config.quoting import quote_override
    from vit_keras.runs import run_dir, run_end

    end = run_end.read_end(folder)
    if end and end.reason in run_end.COMPLETE:
        return []
    if any(folder.glob(run_dir.CHECKPOINTS)):
        own = [word for word in words if word.startswith(("distribute.", "data.path="))]
        return [*own, f"run.resume={quote_override(str(folder))}"]
    return [*words, f"run.dir={quote_override(str(folder))}"]


def free_address():
    """An address of this machine with a free port."""
    import ray

    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"


if __name__ == "__main__":
    main()
