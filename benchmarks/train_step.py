"""Training speed of the `cifar10` recipe's ViT (patch 4, depth 9, width 192, 32x32) beside others.

    python benchmarks/train_step.py --heads 3 12

Each contender lives in a process of its own and they take turns, so that a machine whose speed
drifts drifts for all; a ratio is the median over rounds of the two figures of the same round.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
from pathlib import Path

from contenders import PROCESSES

from vit_keras import backend

TOKENS, WIDTH, DEPTH = 65, 192, 9
PRODUCTS_GFLOP = 10 * 2 * 2048**3 / 1e9  # a "step" of sgemm


def train_flop_per_image():
    """Multiply-adds of the matrix products, counted as two, forward and twice that backward."""
    dense = 12 * WIDTH**2  # qkv 3, projection 1, MLP 8
    attention = 2 * TOKENS * WIDTH
    patches = 48 * WIDTH * (TOKENS - 1)
    return 3 * 2 * (TOKENS * DEPTH * (dense + attention) + patches)


def worker(process, heads, batch_size, pipe):
    """Build the contenders of one process, warm them up, then time each as often as asked."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    if not process.startswith("torch"):
        backend.import_keras()
    runs = {name: make(heads, batch_size) for name, make in PROCESSES[process].items()}
    for run in runs.values():
        run(2)
    pipe.send("ready")
    while request := pipe.recv():
        name, steps = request
        pipe.send(runs[name](steps))


def measure(heads, arguments):
    """Images per second of each contender, one figure a round; sgemm in GFLOP/s."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for process in arguments.only:
        here, there = context.Pipe()
        settings = (process, heads, arguments.batch_size, there)
        processes.append(context.Process(target=worker, args=settings, daemon=True))
        processes[-1].start()
        there.close()
        here.recv()  # one at a time: compiling beside each other would only take longer
        pipes.update(dict.fromkeys(PROCESSES[process], here))
    figures = {name: [] for name in pipes}
    for round_number in range(arguments.rounds):
        # Forth and back, so that none always follows the same one.
        for name in figures if round_number % 2 else reversed(figures):
            pipes[name].send((name, arguments.steps))
            seconds = pipes[name].recv()
            work = PRODUCTS_GFLOP if name == "sgemm" else arguments.batch_size
            figures[name].append(arguments.steps * work / seconds)
        print(
            f"round {round_number + 1}:",
            *(f"{name} {values[-1]:.1f}" for name, values in figures.items()),
            flush=True,
        )
    for pipe in set(pipes.values()):
        pipe.send(None)
    for process in processes:
        process.join()
    return figures


def report(heads, figures):
    """Print and return medians, and the ratios of our step to each peer, round by round."""
    medians = {name: round(statistics.median(values), 1) for name, values in figures.items()}
    ratio = lambda a, b: round(  # noqa: E731
        statistics.median(x / y for x, y in zip(figures[a], figures[b], strict=True)), 3
    )
    peers = [name for name in figures if name not in ("ours_step", "ours_fit", "sgemm")]
    ratios = {f"ours_step / {peer}": ratio("ours_step", peer) for peer in peers}
    if "ours_fit" in figures:
        ratios["ours_fit / ours_step"] = ratio("ours_fit", "ours_step")
    print(f"\n{heads} heads, images/s (sgemm: GFLOP/s), median of the rounds")
    for name, median in medians.items():
        print(f"  {name:<16}{median:>8}")
    for name, value in ratios.items():
        print(f"  {name:<32}{value:>6}")
    if "sgemm" in medians:
        share = medians["ours_step"] * train_flop_per_image() / 1e9 / medians["sgemm"]
        ratios["ours_step / sgemm, in FLOP"] = round(share, 3)
        print(f"  share of the sgemm rate         {share:>6.3f}")
    return {"heads": heads, "median": medians, "ratio": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, nargs="+", default=[3])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PROCESSES, default=list(PROCESSES))
    parser.add_argument("--save", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    results = [report(h, measure(h, arguments)) for h in arguments.heads]
    if arguments.save:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        settings = {"batch_size": arguments.batch_size, "steps": arguments.steps}
        content = {"machine": machine, **settings, "rounds": arguments.rounds, "results": results}
        arguments.save.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
