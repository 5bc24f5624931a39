"""`vit-keras serve` under load, and other ways to serve the same model.

    python benchmarks/serve.py                          # CIFAR-10, everything
    python benchmarks/serve.py --model b16 --parts compare
    python benchmarks/serve.py --parts start steady overload drain memory

    compare    requests/s and latencies of ours, in 8 bits and float32, and of the peers; and the
               CPU time that a server takes for a request
    start      seconds from the command to the first answer
    steady     latencies at 70% of the largest rate
    overload   five times the largest rate: what is turned away, and how fast the rest is
    drain      SIGTERM under load: whether a request is cut off
    memory     of the process over many requests

Each server is a process of its own, which the client shares the cores with. Contenders take turns;
a ratio is the median over the rounds. Runs with their exports are kept in `build/serve`.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from figures import argument_parser, median_ratio, parse_arguments

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from load_client import CUT, PERCENTILES, Load, closed_loop, open_loop
from serving_contenders import CONTENDERS, OURS, Server, messages

ROOT = Path(__file__).resolve().parent.parent
# Name -> (the run that is copied, the ViT in the place of its model).
MODELS = {
    "cifar10": ("cifar10_hour", None),
    "b16": ("cifar10_hour", "b16"),
    "digits": ("digits", None),
}
INT8, FLOAT = OURS
HEADER = "| {:<17} | {:>7} | {:>10} | {:>8} | {:>8} | {:>8} | {:>6} | {:>5} |"


def prepared(model):
    """The folder of a run with its ONNX files, made if it is not there."""
    name, variant = MODELS[model]
    folder = ROOT / "build" / "serve" / model
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, ROOT / "benchmarks/tools/serving_run.py"]
        more = ["--variant", variant] if variant else []
        subprocess.run([*command, ROOT / "saved_models" / name, folder, *more], check=True)
    return folder


def run_load(loop, server, seconds, *arguments, images=1, **more):
    """A `Load` of the server."""
    load = Load()
    asyncio.run(loop(server.port, messages(server, images), *arguments, seconds, load, **more))
    return load


def compare(run, settings):
    found = defaultdict(list)
    for _ in range(settings.rounds):
        for name in settings.contenders:
            if not CONTENDERS[name].is_available():
                continue
            with Server(name, run) as server:
                run_load(closed_loop, server, settings.seconds / 2, 2)
                for clients in settings.clients:
                    before = server.cpu_seconds()
                    load = run_load(closed_loop, server, settings.seconds, clients)
                    used = server.cpu_seconds() - before
                    load.cpu_milliseconds = 1000 * used / max(1, len(load.answered))
                    found[name, clients].append(load)
                    if set(load.statuses) != {200}:
                        print(f"{name}, {clients} clients: {load.statuses}", flush=True)
    print(
        HEADER.format(
            "", "clients", "requests/s", *(f"p{p}, ms" for p in PERCENTILES), "CPU ms", "ratio"
        )
    )
    for (name, clients), loads in found.items():
        rates = [load.rate for load in loads]
        times = (statistics.median(load.percentile(p) for load in loads) for p in PERCENTILES)
        cpu = statistics.median(load.cpu_milliseconds for load in loads)
        cells = [f"{statistics.median(rates):.1f}", *(f"{one:.1f}" for one in (*times, cpu))]
        base = [load.rate for load in found.get((FLOAT, clients), [])]
        ratio = f"{median_ratio(rates, base):.2f}" if base else ""
        print(HEADER.format(name, clients, *cells, ratio), flush=True)


def start(run, settings):
    seconds = []
    for _ in range(settings.rounds):
        with Server(INT8, run) as server:
            seconds.append(server.seconds)
    print(f"start: {statistics.median(seconds):.2f} s to the first answer (goal: 2)", flush=True)


def largest_rate(server, settings):
    """Requests per second, of several images each, that the server can answer."""
    return run_load(closed_loop, server, settings.seconds, 8, images=settings.images).rate


def steady(run, settings):
    with Server(INT8, run) as server:
        rate = 0.7 * largest_rate(server, settings)
        for kind, at_random in (("evenly spaced", False), ("at random", True)):
            load = run_load(
                open_loop,
                server,
                settings.seconds,
                rate,
                images=settings.images,
                at_random=at_random,
            )
            p50, p95 = load.percentile(50), load.percentile(95)
            print(
                f"steady, {kind}: {load.rate:.1f} requests/s of {settings.images} images, "
                f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, {p95 / p50:.2f} times (goal: 1.5); "
                f"{load.statuses}",
                flush=True,
            )


def overload(run, settings):
    with Server(INT8, run, default_queue=True) as server:
        rate = 5 * largest_rate(server, settings)
        load = run_load(open_loop, server, settings.seconds, rate, images=settings.images)
    p50, p95 = load.percentile(50), load.percentile(95)
    print(
        f"overload, 5 times: {load.statuses}; of those answered p50 {p50:.1f} ms, "
        f"p95 {p95:.1f} ms, {p95 / p50:.2f} times (goal: 2)",
        flush=True,
    )


def drain(run, settings):
    cut, answered, others = 0, 0, defaultdict(int)
    for _ in range(settings.drains):
        with Server(INT8, run) as server:
            load = Load()

            async def stop(server=server):
                await asyncio.sleep(min(1.0, settings.seconds / 2))
                server.process.terminate()

            async def both(server=server, load=load, stop=stop):
                requests = messages(server, settings.images)
                await asyncio.gather(
                    closed_loop(server.port, requests, settings.clients[-1], 30, load), stop()
                )

            asyncio.run(both())
            status = server.process.wait(60)
        cut += load.failures[CUT]
        for kind, count in load.statuses.items():
            others[kind] += count
        answered += len(load.answered)
    print(
        f"drain: {settings.drains} times SIGTERM with {settings.clients[-1]} clients: {answered} "
        f"answered, {cut} cut off (goal: 0); {dict(others)}; exit status {status}",
        flush=True,
    )


def memory(run, settings):
    import psutil

    with Server(INT8, run) as server:
        process = psutil.Process(server.process.pid)
        sizes = []
        for _ in range(5):
            load = run_load(closed_loop, server, 3600, 8, requests=settings.requests // 5)
            sizes.append(process.memory_info().rss / 1e6)
    grown = sizes[-1] - sizes[0]
    print(
        f"memory: {', '.join(f'{size:.0f}' for size in sizes)} MB after each fifth of "
        f"{settings.requests} requests, {grown:+.1f} MB since the first; {load.statuses}",
        flush=True,
    )


PARTS = dict(
    compare=compare, start=start, steady=steady, overload=overload, drain=drain, memory=memory
)


def main():
    options = argument_parser(__doc__)
    options.add_argument("--model", choices=MODELS, default="cifar10")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    options.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--images", type=int, default=16, help="of a request, but in compare")
    options.add_argument("--requests", type=int, default=20_000, help="of the part memory")
    options.add_argument("--drains", type=int, default=5, help="how often the part drain is done")
    settings = parse_arguments(
        options,
        model="digits",
        contenders=[INT8],
        clients=[1, 4],
        seconds=0.5,
        rounds=1,
        images=2,
        requests=200,
        drains=1,
    )
    run = prepared(settings.model)
    started = time.perf_counter()
    print(f"{settings.model}; load average {os.getloadavg()[0]:.1f} before", flush=True)
    for part in settings.parts:
        PARTS[part](run, settings)
    print(f"load average {os.getloadavg()[0]:.1f} after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
