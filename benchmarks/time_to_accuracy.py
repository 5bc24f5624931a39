"""Test accuracy on CIFAR-10 after the steps of the same minutes on the same machine.

    python benchmarks/time_to_accuracy.py speed      # 10 minutes, on a quiet machine
    python benchmarks/time_to_accuracy.py train      # an hour; other work only makes it take longer

`speed` times a step of each contender, with the loading and augmentation of its batch. `train`
trains each for as many steps as fit into `--minutes` at that speed, alone and in its own process,
and evaluates its final weights on all test images. Not counted are imports, reading the data,
compilation, validation and the evaluation. Both keep what they measured in `--save`; an interrupted
`train` goes on with the contenders that are missing.
"""

import json
import multiprocessing
import tempfile
import traceback
from pathlib import Path

import budget_ours
import budget_peers
import cifar10_arrays
from budget import Task
from figures import argument_parser, is_installed, machine, parse_arguments

from vit_keras import backend
from vit_keras.io import atomic
from vit_keras.training.preflight import load_config

CONTENDERS = ("ours", *budget_peers.PEERS)
# The package of requirements-peers.txt that a contender needs.
NEEDS = {"timm_vit": "timm", "keras_hub_vit": "keras_hub"}
STEPS = ("speed", "train")


def work(name, task, speed):
    """Time the steps of a contender, or train it if its `speed` is known; what came out of it."""
    if name != "timm_vit":
        backend.import_keras()
    if speed is None:
        return budget_ours.speed(task) if name == "ours" else budget_peers.speed(name, task)
    if name == "ours":
        row = budget_ours.train(task, speed["settings"], speed["step_seconds"])
    else:
        row = budget_peers.train(name, task, speed["way"], speed["step_seconds"])
    return {**row, "way": speed["way"]}


def worker(pipe, *job):
    try:
        pipe.send(work(*job))
    except Exception as error:
        traceback.print_exc()
        pipe.send({"error": f"{type(error).__name__}: {error}"})


def measure(*job):
    """What `work` returns, in a process of its own, or {"error": ...}."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=worker, args=(there, *job), daemon=True)
    process.start()
    there.close()
    try:
        row = here.recv()
    except EOFError:  # killed, by a lack of memory perhaps
        process.join()
        row = {"error": f"the process ended with status {process.exitcode}"}
    process.join()
    return row


def table(rows):
    """Lines of text, one for each contender that was trained."""
    lines = [f"{'':<18}{'accuracy':>9}{'images/s':>10}{'epochs':>8}{'parameters':>12}{'took':>9}"]
    for name, row in rows.items():
        if "error" in row:
            lines.append(f"{name:<18} failed: {row['error']}")
            continue
        lines.append(
            f"{name:<18}{row['accuracy']:>9.4f}{row['images_per_second']:>10.1f}"
            f"{row['epochs']:>8.2f}{row['parameters']:>12,}{row['took_seconds'] / 60:>8.2f}m"
            f"  {row['way']}"
        )
    accuracies = {name: row["accuracy"] for name, row in rows.items() if "accuracy" in row}
    ours = accuracies.pop("ours", None)
    if accuracies and ours is not None:
        best = max(accuracies, key=accuracies.__getitem__)
        points = 100 * (ours - accuracies[best])
        lines.append(f"ours is {points:+.1f} points from the best of the others, {best}")
    return lines


def settings():
    options = argument_parser(__doc__)
    options.add_argument("step", nargs="?", choices=STEPS, help="both in turn unless given")
    options.add_argument("--minutes", type=float, default=10, help="of training, per contender")
    options.add_argument("--recipe", default="cifar10_ten_minutes", help="ours")
    options.add_argument("--overrides", nargs="*", default=[], help="further settings of ours")
    options.add_argument("--batch-size", type=int, default=128, help="of the others")
    options.add_argument("--depth", type=int, default=9, help="of timm's and keras-hub's ViT")
    options.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options.add_argument("--save", type=Path, default=Path("build/time_to_accuracy.json"))
    smallest = dict(minutes=1 / 60, recipe="cifar10", batch_size=8, depth=1)
    return parse_arguments(options, **smallest)


def main():
    chosen = settings()
    overrides = list(chosen.overrides)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cifar10.npz"
        if chosen.smoke:
            cifar10_arrays.write_random(file)
            overrides += ["data.name=npz", f"data.path={file}", "model.depth=1"]
            overrides += [f"train.batch_size={chosen.batch_size}"]
            chosen.save = Path(folder) / "log.json"
        load_config(f"recipe={chosen.recipe}", *overrides)  # refuses what is wrong, at once
        if not chosen.smoke:
            backend.import_keras()  # without TensorFlow's messages, which TFDS would load
            cifar10_arrays.write(file)
        task = Task(
            seconds=60 * chosen.minutes,
            file=file,
            batch_size=chosen.batch_size,
            depth=chosen.depth,
            recipe=chosen.recipe,
            overrides=tuple(overrides),
            compare=not chosen.smoke,
            trial_steps=2 if chosen.smoke else 20,
        )
        log = read(chosen)
        for step in [chosen.step] if chosen.step else STEPS:
            run(step, chosen, task, log)
    if any("error" in row for rows in (log["speed"], log["train"]) for row in rows.values()):
        raise SystemExit(1)


def read(chosen):
    """The log of these settings: what stands in `--save`, or an empty one."""
    names = ("minutes", "recipe", "overrides", "batch_size", "depth")
    kept = {"machine": machine(), **{name: getattr(chosen, name) for name in names}}
    log = json.loads(chosen.save.read_text(encoding="utf-8")) if chosen.save.exists() else {}
    if any(log.get(name) != value for name, value in kept.items()):
        log = {**kept, "speed": {}, "train": {}}
    return log


def run(step, chosen, task, log):
    """Time or train the contenders one after another; the log is saved after each."""
    for name in (name for name in CONTENDERS if name in chosen.only):
        if name in NEEDS and not is_installed(NEEDS[name]):
            continue
        speed = log["speed"].get(name) if step == "train" else None
        if step == "train" and (speed is None or "error" in speed):
            print(f"{name}: its speed is not known; run `speed` first", flush=True)
            continue
        if step == "train" and "accuracy" in log["train"].get(name, {}):
            continue
        print(f"\n{name}: {step}", flush=True)
        log[step][name] = measure(name, task, speed)
        if step == "speed":
            log["train"].pop(name, None)
        chosen.save.parent.mkdir(parents=True, exist_ok=True)
        with atomic.atomic_file(chosen.save) as new:
            new.write_text(json.dumps(log, indent=2) + "\n", encoding="utf-8")
    if step == "train":
        print(*table(log["train"]), sep="\n", flush=True)


if __name__ == "__main__":
    main()
