"""What a teacher is worth: a recipe with and without one, for the same steps and several seeds.

    python benchmarks/distillation.py [--recipe cifar10_ten_minutes] [SETTING=VALUE ...]

Both ways train the same model from the same initial weights on the same batches; the taught one
also learns from the probabilities of the teacher. A step of it takes longer, by the forward pass of
the teacher: the seconds say by how much. The test accuracies are of the best epochs, whatever else
the machine does. A run that has finished is not trained again.
"""

import json
import statistics
import tempfile
from pathlib import Path

from figures import argument_parser, parse_arguments

import vit_keras

SAVED = Path(__file__).parents[1] / "saved_models"
TEACHERS = {"cifar10_ten_minutes": "cifar10_hour", "digits": "digits"}


def ways(settings):
    """Way -> what is set besides the recipe."""
    of_teacher = [word for word in settings.words if word.startswith("train.teacher")]
    others = [word for word in settings.words if word not in of_teacher]
    teacher = settings.teacher or SAVED / TEACHERS[settings.recipe]
    return {"without": others, "taught": [f"train.teacher={teacher}", *of_teacher, *others]}


def metrics_of(folder, words):
    """The `metrics.json` of the run in `folder`, which is trained to its end where it has none."""
    if not (folder / "metrics.json").exists():
        is_begun = (folder / "config.yaml").exists()
        words = [f"run.resume={folder}"] if is_begun else [*words, f"run.dir={folder}"]
        vit_keras.train_model(vit_keras.load_config(*words))
    return json.loads((folder / "metrics.json").read_text())


def measure(settings):
    """Way -> (test accuracy, seconds of training) of each seed."""
    found = {}
    for seed in range(settings.seeds):
        for way, words in ways(settings).items():
            common = [f"recipe={settings.recipe}", f"train.seed={seed}"]
            if settings.epochs:
                common.append(f"train.epochs={settings.epochs}")
            metrics = metrics_of(settings.save / f"{way}-{seed}", [*common, *words])
            figures = metrics["test_accuracy"], metrics["train_seconds"]
            found.setdefault(way, []).append(figures)
            print(f"seed {seed}, {way}: {figures[0]:.4f} in {figures[1]:.0f} s", flush=True)
    return found


def table(found):
    """Print the accuracies of each seed and their means, as Markdown."""
    seeds = range(len(found["taught"]))
    print(f"\n| | mean | {' | '.join(f'seed {seed}' for seed in seeds)} | seconds |")
    print(f"|{' --- |' * (3 + len(seeds))}")
    for way, runs in found.items():
        accuracies, seconds = zip(*runs, strict=True)
        cells = " | ".join(f"{value:.4f}" for value in accuracies)
        mean = statistics.mean(accuracies)
        print(f"| {way} | {mean:.4f} | {cells} | {statistics.median(seconds):.0f} |")
    pairs = zip(found["taught"], found["without"], strict=True)
    gains = [100 * (taught[0] - without[0]) for taught, without in pairs]
    shown = ", ".join(f"{gain:+.2f}" for gain in gains)
    print(f"\ngain of the teacher: {statistics.mean(gains):+.2f} points ({shown})")


def main():
    options = argument_parser(__doc__)
    options.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="of all runs")
    options.add_argument("--recipe", default="cifar10_ten_minutes")
    options.add_argument("--teacher", help="unless it is that of the recipe in saved_models")
    options.add_argument("--epochs", type=int, help="unless as the recipe has it")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--save", type=Path, default=Path("build/distillation"))
    with tempfile.TemporaryDirectory() as smoke:
        smallest = dict(recipe="digits", epochs=1, seeds=1, save=Path(smoke))
        smallest["words"] = ["train.jit_compile=false"]  # which takes longer to compile
        table(measure(parse_arguments(options, **smallest)))


if __name__ == "__main__":
    main()
