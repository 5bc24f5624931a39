"""Write a run with its ONNX files, in float32 and in 8 bits, to be served.

    python benchmarks/tools/serving_run.py RUN FOLDER [--variant b16]

A copy of a run; with `--variant`, its model is replaced by a ViT of random weights at 224x224.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

FORMATS = ("onnx", "onnx_int8")
# Of the run that was copied, and not of another model.
FITTED = ("temperature.json", "evaluation", "export", "abstention.npz")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant")
    settings = parser.parse_args()
    unfinished = settings.folder.with_name(settings.folder.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    left_out = FITTED if settings.variant else ("evaluation",)
    shutil.copytree(settings.run, unfinished, ignore=shutil.ignore_patterns(*left_out))

    from vit_keras import build_vit
    from vit_keras.export.exporter import export_run

    if settings.variant:
        model = build_vit(settings.variant, num_classes=10)
        head = model.get_layer("head").kernel  # zeros would give equal probabilities
        head.assign(np.random.default_rng(0).normal(0, 0.02, head.shape))
        model.save(unfinished / "best.keras")
    for format in FORMATS:
        export_run(unfinished, format, images=4)
    unfinished.rename(settings.folder)


if __name__ == "__main__":
    main()
