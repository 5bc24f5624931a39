"""Several processes that train one run, on JAX: how they meet, agree, and lose one another.

The coordinator, the heartbeats and the collectives are JAX's. Process 0 writes the run directory;
all compute the same steps on the same global arrays, each on devices of its own.
"""

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from vit_keras import backend
from vit_keras.config.compose import get_setting
from vit_keras.config.schema import Config, DistributeConfig, setting_names
from vit_keras.data.dataset import Splits
from vit_keras.errors import ProcessLostError, SettingError
from vit_keras.logs import log
from vit_keras.runs.run_dir import CONFIG, FollowedRun, Run
from vit_keras.text import first_line
from vit_keras.training import collectives, environment

PATIENCE = 30  # seconds in which a coordinator, and then every process, has to answer
HEARTBEAT = 20  # seconds without one from a process after which JAX ends the others
SEEN_WITHIN = 5.0  # seconds until a file that was written is seen through a network
# In the message of a collective that failed.
ENGINES = ("gloo", "nccl", "rccl", "coordination service")
# May differ from process to process.
OWN = ("distribute.", "run.", "data.path", "data.tfds_dir", "data.workers", "data.prefetch")


def start(config: DistributeConfig) -> None:
    """Meet the other processes of the training, if there are any; before JAX computes anything.

    Raises:
        SettingError: the coordinator or another process does not answer, or nothing says where
            they are.
    """
    if config.processes == 1 or keras.backend.backend() != "jax":
        return
    import jax

    if jax.distributed.is_initialized():  # by an earlier training of this process
        return
    if config.coordinator and config.process_id:
        _wait_for(config.coordinator)
    # JAX would catch SIGTERM, and do nothing.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        # What `keras.distribution.initialize` calls, which passes no timeouts on.
        jax.distributed.initialize(
            config.coordinator,
            None if config.processes == "auto" else config.processes,
            config.process_id,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=PATIENCE,
        )
    except ValueError as error:
        raise SettingError(
            "distribute.processes=auto finds no Slurm, Kubernetes or Open MPI here that says where "
            f"the other processes are ({error}); set distribute.processes, distribute.process_id "
            "and distribute.coordinator"
        ) from None
    except jax.errors.JaxRuntimeError as error:
        raise SettingError(
            f"not all of distribute.processes={config.processes} answered within {PATIENCE} s "
            f"(coordinator {config.coordinator}); start all of them with the same command: "
            f"{error}"
        ) from None
    collectives.use_reachable_address()


def _wait_for(coordinator: str) -> None:
    host, _, port = coordinator.rpartition(":")
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() > end:
            raise SettingError(
                f"distribute.coordinator={coordinator} does not answer within {PATIENCE} s "
                f"({reason}); start process 0 (distribute.process_id=0) on {host}, and see that "
                "the port can be reached from here"
            )
        time.sleep(0.2)


def gather(text: str) -> list[str]:
    """The `text` of each process, in their order, in every process."""
    if backend.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    own = np.frombuffer(text.encode(), "uint8")
    lengths = multihost_utils.process_allgather(np.array([len(own)])).ravel()
    padded = np.pad(own, (0, int(lengths.max()) - len(own)))
    rows = multihost_utils.process_allgather(padded)
    return [bytes(row[:length]).decode() for row, length in zip(rows, lengths, strict=True)]


def wait_for_all(where: str) -> None:
    """Go on when each process is here: process 0 has then written what it was to write."""
    if backend.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(where)


def check_alike(values: Mapping[str, Any], way_out: str) -> None:
    """Refuse processes of which one has other `values` than process 0; all of them raise.

    Raises:
        SettingError: naming the process and what differs.
    """
    if backend.process_count() == 1:
        return
    own = json.dumps({"host": _name(), **values}, default=str)
    first, *others = map(json.loads, gather(own))
    for number, other in enumerate(others, start=1):
        for name in values:
            if other.get(name) != first[name]:
                raise SettingError(
                    f"process {number} ({other['host']}) has {name}={other.get(name)}, and process "
                    f"0 ({first['host']}) {name}={first[name]}; {way_out}"
                )


def check_settings_and_versions(config: Config) -> None:
    """Refuse processes with other settings or versions than process 0."""
    names = [name for name in setting_names() if not name.startswith(OWN)]
    settings = {name: repr(get_setting(config, name)) for name in names}
    versions = {f"the version of {k}": v for k, v in environment.versions().items()}
    check_alike({**versions, **settings}, "start all processes alike")


def check_data(splits: Splits) -> None:
    """Refuse processes that have read other images or classes than process 0."""
    way_out = "give all processes the same data"
    check_alike({"the fingerprint of the data": splits.fingerprint}, way_out)


def shared_run(run: Run | None, is_new: bool) -> Run:
    """The run directory that process 0 has made or opened, as every process has to see it.

    Args:
        run: of process 0, and None of the others.
        is_new: whether it was made for this training; it is then removed if it is not seen.

    Raises:
        SettingError: a process does not see it.
    """
    if backend.process_count() == 1:
        assert run is not None
        return run
    content = (run.path / CONFIG).read_text("utf-8") if run else ""
    path, content = json.loads(gather(json.dumps([str(run.path) if run else "", content]))[0])
    seen = [json.loads(text) for text in gather(json.dumps([_name(), _sees(Path(path), content)]))]
    blind = [f"process {n} ({host})" for n, (host, sees) in enumerate(seen) if not sees]
    if blind:
        if run is not None:
            run.close()
            if is_new:
                shutil.rmtree(run.path)
        raise SettingError(
            f"the run directory {path} of process 0 ({seen[0][0]}) is not seen by "
            f"{', '.join(blind)}; set run.root to a folder that all processes share"
        )
    return run or FollowedRun(Path(path))


def _sees(path: Path, content: str) -> bool:
    end = time.monotonic() + SEEN_WITHIN
    while True:
        with contextlib.suppress(OSError):
            if (path / CONFIG).read_text("utf-8") == content:
                return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def _name() -> str:
    return f"{socket.gethostname()}, pid {os.getpid()}"


@contextlib.contextmanager
def explaining_loss(run: Run) -> Iterator[None]:
    """Name the process that was lost, and the command to resume, where a collective fails."""
    if backend.process_count() == 1:
        yield
        return
    names = gather(_name())
    if backend.process_index() == 0:
        listed = ", ".join(f"{n} ({name})" for n, name in enumerate(names))
        # JAX ends a process that hears nothing of another one, before it could say this.
        log.info("processes: %s; if one is lost, run.resume=%s goes on", listed, run.path)
    with _alive(run, names) as lost:
        try:
            yield
        except Exception as error:  # JAX's may be a ValueError
            if not any(engine in str(error).lower() for engine in ENGINES):
                raise
            who = lost()
            who = who or "another process, which cannot be reached,"
            raise ProcessLostError(
                f"{who} ended, and the training with it; go on with run.resume={run.path}, on any "
                f"number of processes ({first_line(error)})"
            ) from None


@contextlib.contextmanager
def _alive(run: Run, names: list[str]) -> Iterator[Callable[[], str]]:
    """Hold a lock in the run directory, which the system releases however this process ends.

    Gives a function that names the processes whose lock is free; empty if all are held.
    """

    def lock(number: int) -> filelock.FileLock:
        return filelock.FileLock(run.path / f".process-{number}.lock")

    def lost() -> str:
        end = time.monotonic() + SEEN_WITHIN
        others = [number for number in range(len(names)) if number != backend.process_index()]
        while True:
            free = [number for number in others if _is_free(lock(number))]
            if free or time.monotonic() > end:
                return ", ".join(f"process {number} ({names[number]})" for number in free)
            time.sleep(0.1)

    own = lock(backend.process_index())
    with own.acquire(timeout=SEEN_WITHIN):
        wait_for_all("locks")  # no process is looked for before it holds its own
        yield lost
    Path(own.lock_file).unlink(missing_ok=True)


def _is_free(lock: filelock.FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return True
    except filelock.Timeout:
        return False
