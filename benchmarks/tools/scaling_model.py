"""A model of data-parallel training on n devices: images/s, and where it breaks first.

A step is the slowest of two pipelines: decoding and reading on one side, compute and all-reduce on
the other. Checkpoints pause it, and failures repeat a part of an epoch. `simulate` plays the same
training step by step and failure by failure, with draws instead of means.

n devices, B global batch, P parameters; seconds, bytes, images.
"""

import math
import statistics
from dataclasses import dataclass

import numpy as np

STATES = 4  # float32 of each parameter in a checkpoint: weight, two moments of AdamW, average
SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Machines:
    """What a cluster has.

    Attributes:
        devices_each: devices of a machine.
        link: bytes/s of a machine to the others, which its devices share.
        latency: seconds of a message between machines.
        cores_each: CPU cores of a machine that decode.
        decode: images/s of a core.
        storage: bytes/s that all machines together read.
        write: bytes/s of process 0 to the shared file system.
        jitter: standard deviation of a step's compute time on a device, as a share of it.
        days_to_failure: mean days until a device, with its share of a machine, fails.
        restart: seconds from a failure until the first step of the resumed run.
    """

    devices_each: int
    link: float
    latency: float
    cores_each: int
    decode: float
    storage: float
    write: float
    jitter: float
    days_to_failure: float
    restart: float


@dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        parameters: P.
        batch_each: images of a step on a device: B = batch_each * n.
        speed: images/s of one device alone, without waiting for data.
        epoch: images of an epoch.
        image_bytes: of an encoded image.
        gradient_bytes: of a parameter's gradient in the all-reduce.
        all_reduces: of a step: 1 where they are joined, as on GPUs, else one a variable.
    """

    parameters: int
    batch_each: int
    speed: float
    epoch: int
    image_bytes: float
    gradient_bytes: int = 4
    all_reduces: int = 1


@dataclass(frozen=True)
class Forecast:
    """Means for n devices.

    Attributes:
        images_per_s: with pauses and failures.
        compute, all_reduce, data: seconds of a step; `data` is what reading and decoding need.
        pause: seconds of a checkpoint, one after each epoch.
        failures_per_day: of all devices.
        lost: share of the time that failures take.
        efficiency: images/s over n times those of one device alone.
        limit: what costs most: compute (waiting for the slowest), all-reduce, decoding, storage,
            checkpoints or failures; nothing at an efficiency of 95% and more.
    """

    images_per_s: float
    compute: float
    all_reduce: float
    data: float
    pause: float
    failures_per_day: float
    lost: float
    efficiency: float
    limit: str


def all_reduce_seconds(cluster: Machines, training: Training, devices: int) -> float:
    """A ring of the machines: each sends and receives 2 (m - 1) / m of the gradients."""
    machines = math.ceil(devices / cluster.devices_each)
    if machines == 1:
        return 0.0  # within a machine it is in the measured speed of its devices
    size = training.parameters * training.gradient_bytes
    rounds = 2 * (machines - 1)
    messages = rounds * training.all_reduces
    return rounds / machines * size / cluster.link + messages * cluster.latency


def slowest(devices: int, jitter: float) -> float:
    """Expected largest of n normal draws of mean 1 (Blom 1958): all wait for the slowest."""
    if devices == 1:
        return 1.0
    at = (devices - 0.375) / (devices + 0.25)
    return 1 + jitter * statistics.NormalDist().inv_cdf(at)


def checkpoint_bytes(training: Training) -> int:
    return training.parameters * 4 * STATES


def forecast(cluster: Machines, training: Training, devices: int) -> Forecast:
    """The means of a training on n devices."""
    batch, machines = training.batch_each * devices, math.ceil(devices / cluster.devices_each)
    alone = training.batch_each / training.speed
    compute = alone * slowest(devices, cluster.jitter)
    all_reduce = all_reduce_seconds(cluster, training, devices)
    decoding = batch / (machines * cluster.cores_each * cluster.decode)
    reading = batch * training.image_bytes / cluster.storage
    step = max(compute + all_reduce, decoding, reading)
    steps = math.ceil(training.epoch / batch)
    pause = checkpoint_bytes(training) / cluster.write
    epoch = steps * step + pause
    # A failure costs half an epoch, on average, and the restart.
    rate = devices / (cluster.days_to_failure * SECONDS_A_DAY)
    cost = rate * (epoch / 2 + cluster.restart)
    lost = cost / (1 + cost)
    images = training.epoch / epoch * (1 - lost)
    # What each of them adds to a step of compute alone.
    costs = {
        "compute": compute - alone,
        "all-reduce": all_reduce,
        "decoding": max(decoding - compute - all_reduce, 0),
        "storage": max(reading - compute - all_reduce, 0),
        "checkpoints": pause / steps,
        "failures": cost * epoch / steps,
    }
    limit = max(costs, key=lambda name: costs[name])
    efficiency = images / (devices * training.speed)
    data = max(decoding, reading)
    return Forecast(
        *(images, compute, all_reduce, data, pause, rate * SECONDS_A_DAY, lost, efficiency),
        limit=limit if efficiency < 0.95 else "nothing",
    )


def simulate(
    cluster: Machines, training: Training, devices: int, days: float, seed: int = 0
) -> float:
    """Images/s of some days that are played through: each step's slowest device, each failure."""
    rng = np.random.default_rng(seed)
    batch, machines = training.batch_each * devices, math.ceil(devices / cluster.devices_each)
    alone, steps = training.batch_each / training.speed, math.ceil(training.epoch / batch)
    network = all_reduce_seconds(cluster, training, devices)
    data = max(
        batch / (machines * cluster.cores_each * cluster.decode),
        batch * training.image_bytes / cluster.storage,
    )
    pause = checkpoint_bytes(training) / cluster.write
    # Epochs repeat each other but for their draws: a few are drawn step by step.
    drawn = [
        np.maximum(
            alone * (1 + cluster.jitter * rng.standard_normal((steps, devices)).max(axis=1))
            + network,
            data,
        ).sum()
        for _ in range(4)
    ]
    mean = cluster.days_to_failure * SECONDS_A_DAY / devices
    now, done, end = 0.0, 0, days * SECONDS_A_DAY
    failure = rng.exponential(mean)
    while now < end:
        epoch = float(rng.choice(drawn)) + pause
        if now + epoch <= failure:
            now, done = now + epoch, done + 1
        else:  # the epoch begins again
            now = failure + cluster.restart
            failure = now + rng.exponential(mean)
    return done * training.epoch / now
