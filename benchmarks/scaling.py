"""Compare the scaling model with a training by one process and by two, and print its forecasts.

    python benchmarks/scaling.py [--rounds 3] [--images 8000]

Needs JAX. One process on one core, then two processes with a core each, train the same ViT on
digits, with the same batch for each process; they take turns, and figures are medians over the
rounds. The model is given the speed of the one process and, of all-reduces between two processes,
the bandwidth by one large array and the latency by as many small ones as there are variables; what
it then says of two processes stands beside what they did.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import argument_parser, parse_arguments

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from scaling_model import Machines, Training, forecast

# Trains a run, of whose two epochs the first has the compilation.
TRAIN = """
import sys
import vit_keras
_, place, *words = sys.argv
vit_keras.train_model(vit_keras.load_config(*words, f"run.dir={place}"))
"""
# Seconds of the all-reduces of some arrays in one step between two processes, the median of ten.
REDUCE = """
import statistics, sys, time
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
_, address, number, size, count = sys.argv
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(address, 2, int(number))
mesh = Mesh(np.array(jax.devices()), ("x",))
ones, shards = np.ones((1, int(size) // 4), "float32"), NamedSharding(mesh, P("x"))
arrays = [jax.make_array_from_process_local_data(shards, ones) for _ in range(int(count))]
total = jax.jit(lambda xs: [x.sum(axis=0) for x in xs], out_shardings=NamedSharding(mesh, P()))
jax.block_until_ready(total(arrays))
seconds = []
for _ in range(10):
    started = time.perf_counter()
    jax.block_until_ready(total(arrays))
    seconds.append(time.perf_counter() - started)
print(statistics.median(seconds))
"""


def start(core, *command):
    """A process on one core, on JAX with one device."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": ""}
    words = [sys.executable, "-c", *map(str, command)]
    if hasattr(os, "sched_setaffinity"):
        words = ["taskset", "-c", str(core), *words]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outputs(started):
    texts = [process.communicate() for process in started]
    for process, (_, errors) in zip(started, texts, strict=True):
        if process.returncode:
            raise RuntimeError(errors)
    return [text for text, _ in texts]


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def images_per_s(folder, processes, settings):
    """Of the last epoch, from the run's history."""
    batch = settings.batch * processes
    words = [*settings.words, f"train.batch_size={batch}", "distribute.devices=1"]
    place, address = folder / f"{processes}-{time.monotonic_ns()}", free_address()
    if processes > 1:
        words += [f"distribute.processes={processes}", f"distribute.coordinator={address}"]
    started = [
        start(n, TRAIN, place, *words, *([f"distribute.process_id={n}"] if processes > 1 else []))
        for n in range(processes)
    ]
    outputs(started)
    header, *rows = [line.split(",") for line in (place / "history.csv").read_text().splitlines()]
    parameters = next(
        int(line.partition(":")[2].split()[0].replace(",", ""))
        for line in (place / "model_summary.txt").read_text().splitlines()
        if "Total params" in line
    )
    return float(rows[-1][header.index("images_per_second")]), parameters


def reduce_seconds(size, count=1):
    address = free_address()
    printed, _ = outputs([start(n, REDUCE, address, n, size, count) for n in range(2)])
    return float(printed.split()[-1])  # Gloo prints lines of its own


def main():
    options = argument_parser(__doc__)
    options.add_argument("--batch", type=int, default=32, help="images of a step on a process")
    options.add_argument("--images", type=int, default=1400, help="of an epoch")
    options.add_argument("--width", type=int, default=192)
    options.add_argument("--depth", type=int, default=6)
    options.add_argument("--rounds", type=int, default=3)
    settings = parse_arguments(options, batch=8, images=64, width=8, depth=1, rounds=1)
    settings.words = [
        *("recipe=digits", "train.epochs=2", f"data.limit={settings.images}"),
        *("model.num_heads=2", f"model.width={settings.width}", f"model.depth={settings.depth}"),
        f"model.mlp_dim={4 * settings.width}",
    ]
    speeds = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        for _ in range(settings.rounds):
            for processes, found in speeds.items():
                speed, parameters = images_per_s(Path(place), processes, settings)
                found.append(speed)
    one, two = (statistics.median(found) for found in speeds.values())
    small, large = 4096, 4 * parameters
    variables = 12 * settings.depth + 8  # of the blocks, and before and behind them
    latency = reduce_seconds(small, variables) / (2 * variables)
    link = large / max(reduce_seconds(large) - 2 * latency, 1e-6)
    here = Machines(
        *(1, link, latency, 1, 1e9, 1e12, 1e9),
        jitter=0.05,
        days_to_failure=1e6,
        restart=60,
    )
    sizes = (settings.batch, one, settings.images, 64)
    training = Training(parameters, *sizes, all_reduces=variables)
    for processes, measured in ((1, one), (2, two)):
        said = forecast(here, training, processes).images_per_s
        print(
            f"{processes} of 1 core: measured {measured:.0f} images/s, model {said:.0f}, "
            f"{100 * (said / measured - 1):+.0f}%"
        )
    print(f"link {link / 1e9:.2f} GB/s, latency {latency * 1e6:.0f} us, {parameters:,} parameters")


if __name__ == "__main__":
    main()
