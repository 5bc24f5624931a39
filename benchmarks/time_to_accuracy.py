"""Test accuracy on CIFAR-10 after the same minutes of training on the same machine.

    python benchmarks/time_to_accuracy.py                    # about an hour

Each contender trains alone, in its own process. Counted are the training steps, with the loading
and augmentation of their batches; not counted are imports, reading the data, compilation (the first
step of each compiled program), a few steps that choose how a contender is compiled, validation,
and the evaluation of the final weights on all test images at the end. Ours goes first. If its steps
take longer than its trial promised, the others get that longer time.
"""

import json
import multiprocessing
import tempfile
import traceback
from pathlib import Path

import cifar10_arrays
from budget import Task
from budget_ours import ours
from budget_peers import keras_cct, keras_cct_cosine, keras_hub_vit, timm_vit
from figures import argument_parser, is_installed, machine, parse_arguments

from vit_keras import backend
from vit_keras.training.preflight import load_config

CONTENDERS = {
    "ours": ours,
    "timm_vit": timm_vit,
    "keras_cct": keras_cct,
    "keras_cct_cosine": keras_cct_cosine,
    "keras_hub_vit": keras_hub_vit,
}
# The package of requirements-peers.txt that a contender needs.
NEEDS = {"timm_vit": "timm", "keras_hub_vit": "keras_hub"}


def worker(name, task, pipe):
    """Train one contender and send its row of the table."""
    if name != "timm_vit":
        backend.import_keras()
    try:
        pipe.send(CONTENDERS[name](task))
    except Exception as error:
        traceback.print_exc()
        pipe.send({"error": f"{type(error).__name__}: {error}"})


def measure(name, task):
    """The row of one contender, trained in its own process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=worker, args=(name, task, there), daemon=True)
    process.start()
    there.close()
    try:
        row = here.recv()
    except EOFError:  # killed, by a lack of memory perhaps
        process.join()
        row = {"error": f"the process ended with status {process.exitcode}"}
    process.join()
    return {"name": name, **row}


def table(rows):
    """Lines of text, one for each contender."""
    lines = [
        f"{'':<18}{'accuracy':>9}{'images/s':>10}{'epochs':>8}{'parameters':>12}{'minutes':>9}"
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['name']:<18} failed: {row['error']}")
            continue
        lines.append(
            f"{row['name']:<18}{row['accuracy']:>9.4f}{row['images_per_second']:>10.1f}"
            f"{row['epochs']:>8.2f}{row['parameters']:>12,}{row['seconds'] / 60:>9.2f}"
            f"  {row['way']}"
        )
    accuracies = {row["name"]: row["accuracy"] for row in rows if "accuracy" in row}
    ours_accuracy = accuracies.pop("ours", None)
    if accuracies and ours_accuracy is not None:
        best = max(accuracies, key=accuracies.get)
        points = 100 * (ours_accuracy - accuracies[best])
        lines.append(f"ours is {points:+.1f} points from the best of the others, {best}")
    return lines


def settings():
    options = argument_parser(__doc__)
    options.add_argument("--minutes", type=float, default=10, help="of training, per contender")
    options.add_argument("--recipe", default="cifar10_ten_minutes", help="ours")
    options.add_argument("--batch-size", type=int, default=128, help="of the others")
    options.add_argument("--depth", type=int, default=9, help="of timm's and keras-hub's ViT")
    options.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options.add_argument("--save", type=Path, default=Path("build/time_to_accuracy.json"))
    options.add_argument("overrides", nargs="*", help="further settings of ours")
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
        )
        rows = run(chosen, task)
    if any("error" in row for row in rows):
        raise SystemExit(1)


def run(chosen, task):
    """Train the contenders one after another; the table is printed, and saved after each."""
    rows = []
    for name in sorted(chosen.only, key=list(CONTENDERS).index):
        if name in NEEDS and not is_installed(NEEDS[name]):
            continue
        print(f"\n{name}: {task.seconds:.0f} s of training", flush=True)
        rows.append(measure(name, task))
        print(*table(rows), sep="\n", flush=True)
        if name == "ours":
            task = task._replace(seconds=max(task.seconds, rows[0].get("seconds", 0)))
        kept = {key: getattr(chosen, key) for key in ("minutes", "recipe", "batch_size", "depth")}
        content = {"machine": machine(), **kept, "overrides": chosen.overrides, "results": rows}
        chosen.save.parent.mkdir(parents=True, exist_ok=True)
        chosen.save.write_text(json.dumps(content, indent=2) + "\n")
    return rows


if __name__ == "__main__":
    main()
