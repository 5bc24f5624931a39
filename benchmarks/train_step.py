"""Training speed of the `cifar10` recipe's ViT (patch 4, depth 9, width 192, 32x32) and of peers.

    python benchmarks/train_step.py --heads 3 12

Each contender runs in its own process and they take turns, so that a drift of the machine's speed
affects all of them; a ratio is the median over rounds of the two figures of the same round.
"""

import json
import multiprocessing
import os
import statistics
from pathlib import Path

from contenders import NEEDS, PROCESSES
from figures import argument_parser, is_installed, machine, median_ratio, parse_arguments

from vit_keras import backend

TOKENS, WIDTH = 65, 192
PRODUCTS_GFLOP = 10 * 2 * 2048**3 / 1e9  # a "step" of sgemm


def train_flop_per_image(depth):
    """FLOP of the matrix products: 2 per multiply-add; backward costs twice the forward pass."""
    dense = 12 * WIDTH**2  # qkv 3, projection 1, MLP 8
    attention = 2 * TOKENS * WIDTH
    patches = 48 * WIDTH * (TOKENS - 1)
    return 3 * 2 * (TOKENS * depth * (dense + attention) + patches)


def worker(process, sizes, pipe):
    """Build the contenders of one process, warm them up, then time each on request."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    if not process.startswith("torch"):
        backend.import_keras()
    runs = {name: make(*sizes) for name, make in PROCESSES[process].items()}
    for run in runs.values():
        run(2)
    pipe.send("ready")
    while request := pipe.recv():
        name, steps = request
        pipe.send(runs[name](steps))


def measure(heads, arguments):
    """Images per second of each contender, one figure per round; sgemm in GFLOP/s."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for process in filter(is_measurable, arguments.only):
        here, there = context.Pipe()
        sizes = heads, arguments.batch_size, arguments.depth
        processes.append(context.Process(target=worker, args=(process, sizes, there), daemon=True))
        processes[-1].start()
        there.close()
        here.recv()  # one at a time, because compiling in parallel takes longer
        pipes.update(dict.fromkeys(PROCESSES[process], here))
    figures = {name: [] for name in pipes}
    for round_number in range(arguments.rounds):
        # Alternate the order, so that no contender always follows the same one.
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


def is_measurable(process):
    """Whether the package that the process needs is installed."""
    return process not in NEEDS or is_installed(NEEDS[process])


def report(heads, depth, figures):
    """Print and return the medians, and the median ratio of our steps to each peer.

    `ours_float32` is compared with the fastest peer in float32, `ours_auto` with the fastest peer
    in float32 and in any precision.
    """
    medians = {name: round(statistics.median(values), 1) for name, values in figures.items()}
    peers = [name for name in figures if name != "sgemm" and not name.startswith("ours")]
    pairs = [("ours_step", peer) for peer in peers] + [("ours_fit", "ours_step")]
    if peers:
        in_float32 = [peer for peer in peers if not peer.endswith("bfloat16")] or peers
        first, best = (max(some, key=medians.__getitem__) for some in (in_float32, peers))
        pairs += [("ours_float32", first), ("ours_auto", first), ("ours_auto", best)]
    ratios = {
        f"{a} / {b}": round(median_ratio(figures[a], figures[b]), 3)
        for a, b in pairs
        if a in figures
    }
    print(f"\n{heads} heads, images/s (sgemm: GFLOP/s), median of the rounds")
    for name, median in medians.items():
        print(f"  {name:<24}{median:>8}")
    for name, value in ratios.items():
        print(f"  {name:<40}{value:>6}")
    if "sgemm" in medians and "ours_step" in medians:
        share = medians["ours_step"] * train_flop_per_image(depth) / 1e9 / medians["sgemm"]
        ratios["ours_step / sgemm, in FLOP"] = round(share, 3)
        print(f"  share of the sgemm rate                 {share:>6.3f}")
    return {"heads": heads, "median": medians, "ratio": ratios}


def main():
    options = argument_parser(__doc__)
    options.add_argument("--heads", type=int, nargs="+", default=[3])
    options.add_argument("--depth", type=int, default=9)
    options.add_argument("--batch-size", type=int, default=128)
    options.add_argument("--steps", type=int, default=5, help="timed steps per round")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--only", nargs="+", choices=PROCESSES, default=list(PROCESSES))
    options.add_argument("--save", type=Path, help="write the figures to this file as JSON")
    arguments = parse_arguments(options, depth=1, batch_size=4, steps=1, rounds=1)
    results = [report(h, arguments.depth, measure(h, arguments)) for h in arguments.heads]
    if arguments.save:
        names = ("depth", "batch_size", "steps")
        settings = {name: getattr(arguments, name) for name in names}
        content = {"machine": machine(), **settings, "rounds": arguments.rounds, "results": results}
        arguments.save.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
