"""CIFAR-10 from scratch in some minutes of training on one GPU, on JAX without TensorFlow.

    python benchmarks/gpu/cifar10.py build/cifar10 --minutes 5 --save $OUT/cifar10.jsonl

The folder holds the parts that `benchmarks/cifar10_arrays.py` writes. Settings of the recipe can be
added, such as train.batch_size=512.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import budget_ours  # noqa: E402
import cifar10_arrays  # noqa: E402
from budget import Task  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="of the parts of CIFAR-10")
    parser.add_argument("overrides", nargs="*", help="settings of the recipe")
    parser.add_argument("--recipe", default="cifar10")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--save", type=Path, help="a file that gets a line of JSON")
    parser.add_argument("--smoke", action="store_true", help="only checks that it runs")
    options = parser.parse_args()
    words = options.overrides
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cifar10.npz"
        if options.smoke:
            cifar10_arrays.write_random(file)
            words = [*words, "model.depth=1", "train.batch_size=8", "train.jit_compile=false"]
            words += ["data.device_resident=true", "train.steps_per_execution=2"]
            options.minutes = 1 / 60
        else:
            cifar10_arrays.join(options.folder, file)
        words = [*words, "data.name=npz", f"data.path={file}"]
        task = Task(
            seconds=60 * options.minutes,
            file=file,
            batch_size=0,  # those of the peers
            depth=0,
            recipe=options.recipe,
            overrides=tuple(words),
            compare=False,
            trial_steps=2 if options.smoke else 20,
        )
        speed = budget_ours.speed(task)
        row = budget_ours.train(task, speed["settings"], speed["step_seconds"])
        row |= {"recipe": options.recipe, "settings": options.overrides, "way": speed["way"]}
    print(json.dumps(row))
    if options.save:
        with options.save.open("a") as saved:
            saved.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
