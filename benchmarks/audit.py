"""How many wrong labels an audit finds, and what it is worth to correct them.

    python benchmarks/audit.py --data <folder of sign language digits>

A share of the labels of the training and validation images is replaced by random other ones, and
the images are audited by the embeddings of saved_models/cifar10_hour. A person who looks at the
first tenth of the list corrects those that are wrong there. The same backbone is fine-tuned with
the wrong labels, with the corrected ones and with the true ones; the test images keep theirs.
Without --data, or VIT_KERAS_PHOTOS, the images are scikit-learn's digits.
"""

import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
from figures import argument_parser, parse_arguments

import vit_keras
from vit_keras.evaluation.audit import audit
from vit_keras.predict.embedder import Embedder
from vit_keras.predict.embedding_files import Embeddings, MadeBy
from vit_keras.training import processor

BACKBONE = Path(__file__).parents[1] / "saved_models/cifar10_hour"
LABELS = ("wrong", "corrected", "true")
# Without instructions for bfloat16 a processor computes in it five times slower than in float32.
PRECISION = "mixed_bfloat16" if processor.has_bfloat16() else "float32"
FIRST = 0.1  # of the list, which the person looks at


def load_images(data, limit=None):
    """The splits of the whole data set, or of so many images, at the size of the backbone."""
    words = ["data=folder", f"data.path={data}"] if data else ["data=digits"]
    words += [f"data.limit={limit}"] if limit else []
    splits = vit_keras.load_splits(vit_keras.load_config(*words, "data.image_size=32").data, seed=0)
    return {name: split.decoded() for name, split in splits.as_dict().items()}


def with_wrong_labels(labels, share, rng):
    """`labels` (n,) with a share of them replaced by other classes."""
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    classes, changed = labels.max() + 1, labels.copy()
    changed[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return changed


def corrected(images, given, true):
    """`given` labels with the wrong ones of the first tenth of an audit corrected."""
    vectors = Embedder(BACKBONE).embed(list(images))
    paths, labels = [f"{i}" for i in range(len(given))], [f"{label:03}" for label in given]
    rows = audit(Embeddings(paths, labels, vectors, MadeBy(str(BACKBONE), "", vectors.shape[1])))
    first = np.array([int(row.path) for row in rows[: round(FIRST * len(rows))]])
    found = (given[first] != true[first]).sum() / (given != true).sum()
    mended = given.copy()
    mended[first] = true[first]
    return mended, float(found)


def test_accuracy(splits, labels, seed, epochs):
    """Test accuracy of the backbone fine-tuned on the labels of (training, validation) images."""
    border = len(splits["train"].labels)
    data = {
        "train": (splits["train"].images, labels[:border]),
        "validation": (splits["validation"].images, labels[border:]),
        "test": tuple(splits["test"]),
    }
    with tempfile.TemporaryDirectory() as folder:
        config = vit_keras.load_config(
            *(
                "recipe=finetune_digits",
                "data=arrays",
                "data.image_size=32",
                "data.train_limit=null",
            ),
            *(
                "pretrained.baseline=false",
                f"pretrained.handle={BACKBONE}",
                f"run.dir={folder}/run",
            ),
            *(f"train.precision={PRECISION}", "train.jit_compile=layers", f"train.seed={seed}"),
            *(f"stages.head.epochs={epochs}", f"stages.all.epochs={epochs}"),
        )
        return vit_keras.train_model(config, data).metrics["test_accuracy"]


def main():
    options = argument_parser(__doc__)
    options.add_argument("--data", default=os.environ.get("VIT_KERAS_PHOTOS"))
    options.add_argument("--share", type=float, default=0.08, help="of the labels, made wrong")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--epochs", type=int, default=10, help="of each of two stages")
    options.add_argument("--limit", type=int, help="of the images")
    options.add_argument("--labels", choices=LABELS, nargs="+", default=list(LABELS))
    smallest = dict(seeds=[0], epochs=1, data=None, labels=["corrected"], limit=300)
    settings = parse_arguments(options, **smallest)
    splits = load_images(settings.data, settings.limit)
    images, true = (
        np.concatenate([splits[name][part] for name in ("train", "validation")]) for part in (0, 1)
    )
    shares, accuracies = [], {name: [] for name in settings.labels}
    for seed in settings.seeds:
        wrong = with_wrong_labels(true, settings.share, np.random.default_rng(seed))
        mended, found = corrected(images, wrong, true)
        shares.append(found)
        print(f"seed {seed}: {found:.1%} of the wrong labels in the first tenth", flush=True)
        labels = dict(zip(LABELS, (wrong, mended, true), strict=True))
        for name in settings.labels:
            accuracy = test_accuracy(splits, labels[name], seed, settings.epochs)
            accuracies[name].append(accuracy)
            print(f"seed {seed}: {accuracy:.4f} with {name} labels", flush=True)
    print(f"\nfound: {statistics.mean(shares):.1%} of the wrong labels (mean of the seeds)")
    for name, values in accuracies.items():
        spread = f"{min(values):.4f} to {max(values):.4f}"
        print(f"{name:<10} labels: test accuracy {statistics.mean(values):.4f} ({spread})")


if __name__ == "__main__":
    main()
