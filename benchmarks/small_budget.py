"""What each idea is worth in ten minutes of training: the log of docs/concepts/small-budget.md.

    python benchmarks/small_budget.py speed        # images/s of each idea; on a quiet machine
    python benchmarks/small_budget.py train        # every idea and seed that is not in the log yet
    python benchmarks/small_budget.py table        # the log as Markdown

An idea is a list of settings on top of `--recipe`. `speed` measures the images/s of all ideas, in
turns. `train` gives each idea as many steps as it would do in `--minutes` at that speed, so that
the training itself may share the machine: it then takes longer, and reaches the same. Everything is
kept in `--log` as it is measured; an interrupted `train` goes on with what is missing.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from figures import argument_parser, machine, parse_arguments

from vit_keras.io import atomic

# What `auto` chooses for the base on two CPU cores; kept for every idea, so that one thing changes.
FIXED = ["train.precision=mixed_bfloat16", "train.jit_compile=layers"]
IDEAS = {
    "base": [],
    # the tokenizer and the blocks
    "patches in place of convolutions": ["model.stem=patch"],
    "convolutions of stride 2 (Xiao)": ["model.stem=conv"],
    "sequence pooling (CCT)": ["model.pool=seq"],
    "class token": ["model.pool=token"],
    "GELU and biases": ["model.mlp=gelu", "model.bias=true"],
    "MLP ratio 1": ["model.mlp_dim=192"],
    "MLP ratio 4": ["model.mlp_dim=768"],
    "width 128, 2 heads": ["model.width=128", "model.num_heads=2", "model.mlp_dim=256"],
    "width 256, 4 heads": ["model.width=256", "model.num_heads=4", "model.mlp_dim=512"],
    "depth 4": ["model.depth=4"],
    "depth 9": ["model.depth=9"],
    "1 head": ["model.num_heads=1"],
    "2-D RoPE": ["model.position=rope2d"],
    "learned positions": ["model.position=learned"],
    "QK norm": ["model.qk_norm=true"],
    # the first weights
    "Glorot's initialization": ["model.initialization=default"],
    "mimetic initialization": ["model.initialization=mimetic"],
    # the optimizer
    "AdamW": ["optim=adamw", "optim.weight_decay=0.05"],
    "Lion": ["optim=lion", "optim.learning_rate=3e-4"],
    "learning rate / 2": ["optim.learning_rate=1e-3"],
    "learning rate x 2": ["optim.learning_rate=4e-3"],
    "cosine": ["optim.schedule=cosine"],
    "warm-up, stable, decay": ["optim.schedule=wsd"],
    "no average of the weights": ["optim.ema_momentum=null"],
    "no label smoothing": ["optim.label_smoothing=0"],
    "batches of 256": ["train.batch_size=256"],
    "float32 with XLA": ["train.precision=float32", "train.jit_compile=true"],
    # the images
    "random flip": ["augment.flip=true"],
    "no augmentation": ["augment=none"],
    "random erasing": ["augment.random_erasing=0.25"],
    "RandAugment": ["augment.policy=randaugment"],
    "MixUp 0.2": ["augment.mixup=0.2"],
    "half of the patches dropped": ["model.patch_dropout=0.5"],
}


def train(settings, run, *overrides):
    """Train a run by the command line, unless it is there; its metrics."""
    metrics = Path(run) / "metrics.json"
    if not metrics.exists():
        command = [sys.executable, "-m", "vit_keras", "train", f"recipe={settings.recipe}", *FIXED]
        command += [*overrides, f"run.dir={run}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(metrics.read_text())


def speed(settings, log):
    """Images/s of each idea: the median over rounds, in which the ideas take turns."""
    speeds = {name: [] for name in settings.ideas}
    batches = f"train.limit_train_batches={settings.batches}"
    short = ["train.epochs=2", batches, "data.limit=2500"]
    for number in range(settings.rounds):
        for name in settings.ideas:
            run = settings.runs / "speed" / f"{slug(name)}-{number}"
            metrics = train(settings, run, *IDEAS[name], *short)
            speeds[name].append(metrics["images_per_second"])
            print(f"round {number + 1}: {name}: {speeds[name][-1]:.0f} images/s", flush=True)
    for name, values in speeds.items():
        row = log["ideas"].setdefault(name, {"seeds": {}})
        row["images_per_second"] = statistics.median(values)
    write(settings, log)


def train_all(settings, log):
    """Train each idea with each seed on the steps that its speed allows in `--minutes`."""
    if "base" not in log["ideas"]:
        raise SystemExit(f"no speed of the base in {settings.log}; run `speed` first")
    base_speed = log["ideas"]["base"]["images_per_second"]
    for seed in settings.seeds:
        for name in settings.ideas:
            row = log["ideas"].setdefault(name, {"seeds": {}})
            # A learning rate costs no time: an idea that `speed` was not asked for is as the base.
            row.setdefault("images_per_second", base_speed)
            if str(seed) in row["seeds"]:
                continue
            images = 60 * settings.minutes * row["images_per_second"]
            run = settings.runs / f"{slug(name)}-seed{seed}"
            budget = [*length(settings, name, images), f"train.seed={seed}"]
            metrics = train(settings, run, *IDEAS[name], *budget)
            row["seeds"][str(seed)] = metrics["test_accuracy"]
            row["epochs"] = round(images / settings.epoch_images, 1)
            write(settings, log)
            print(f"{name}, seed {seed}: {metrics['test_accuracy']:.4f}", flush=True)


def length(settings, name, images):
    """The settings for a training of about `images` images, in whole epochs of equal length."""
    batch = 256 if "train.batch_size=256" in IDEAS[name] else settings.batch_size
    steps = max(1, round(images / batch))
    full = settings.epoch_images // batch
    epochs = -(-steps // full)
    return [f"train.epochs={epochs}", f"train.limit_train_batches={-(-steps // epochs)}"]


def slug(name):
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def table(settings, log):
    """Print the log as a Markdown table, the best idea first."""
    rows = {name: row for name, row in log["ideas"].items() if row["seeds"]}
    base = median_accuracy(rows["base"]) if "base" in rows else float("nan")
    print("| idea | settings | images/s | epochs | test accuracy | seeds | points |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in sorted(rows, key=lambda name: -median_accuracy(rows[name])):
        row, accuracy = rows[name], median_accuracy(rows[name])
        print(
            f"| {name} | {' '.join(f'`{word}`' for word in IDEAS.get(name, []))} "
            f"| {row['images_per_second']:.0f} | {row['epochs']} | {accuracy:.4f} "
            f"| {len(row['seeds'])} | {100 * (accuracy - base):+.1f} |"
        )


def median_accuracy(row):
    return statistics.median(row["seeds"].values())


def write(settings, log):
    with atomic.atomic_file(settings.log) as new:
        new.write_text(json.dumps(log, indent=2) + "\n", encoding="utf-8")


STEPS = {"speed": speed, "train": train_all, "table": table}


def main():
    options = argument_parser(__doc__)
    options.add_argument("step", nargs="?", choices=STEPS, help="all three in turn unless given")
    options.add_argument("--recipe", default="cifar10_ten_minutes")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--ideas", nargs="+", choices=IDEAS, default=list(IDEAS))
    options.add_argument("--rounds", type=int, default=3, help="of `speed`")
    options.add_argument("--batches", type=int, default=60, help="of a round")
    options.add_argument("--batch-size", type=int, default=128, help="of the recipe")
    options.add_argument("--epoch-images", type=int, default=48_000, help="of the recipe")
    options.add_argument("--runs", type=Path, default=Path("build/small_budget"))
    options.add_argument("--log", type=Path, default=Path("benchmarks/small_budget.json"))
    smallest = dict(recipe="digits", minutes=1 / 600, ideas=["base"], rounds=1, batches=2)
    smallest |= dict(batch_size=64, epoch_images=1294, log=Path("build/small_budget_smoke.json"))
    smallest |= dict(runs=Path("build/small_budget_smoke"))
    settings = parse_arguments(options, **smallest)
    log = {"machine": machine(), "minutes": settings.minutes, "ideas": {}}
    if settings.log.exists() and not settings.smoke:
        log = json.loads(settings.log.read_text(encoding="utf-8"))
    for step in [settings.step] if settings.step else STEPS:
        STEPS[step](settings, log)


if __name__ == "__main__":
    main()
