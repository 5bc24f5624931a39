"""Batch inference by Ray Data: images are decoded on CPUs, actors hold the model and write.

Ray spreads both over the machines of a cluster, or over the cores of this one. On GPUs, tasks
decode for the actors; on CPUs, Ray joins the two steps, and each actor decodes for itself, on one
core. Everything that decides a row is in `BatchJob`, and each image goes through the same functions
as in `Predictor`.

n images, (X, Y, C) shape of the model's input, D width of the embeddings.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras.data.image_formats import pillow_warnings_ignored
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError
from vit_keras.predict.batch_images import BatchImages, read_items
from vit_keras.predict.batch_output import BatchJob, OutputFolder
from vit_keras.predict.embedding_files import pyarrow, utf8
from vit_keras.predict.engines import KERAS
from vit_keras.predict.predictor import Predictor
from vit_keras.predict.reader import BatchReader, Unreadable
from vit_keras.runs.describe import input_shape
from vit_keras.runs.saved_run import SavedRun
from vit_keras.text import counted, first_line

PART = 512  # images in a block, and rows in a file: pixels of 224 x 224 are then 77 MB
BATCH = 32  # images that the model computes at a time
# No usage statistics are sent, and Ray's processes say nothing of how they are started.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
THREADS = 1  # of an actor on CPUs: there are as many actors as cores


@dataclass(frozen=True)
class BatchPredictions:
    """What a batch inference did.

    Attributes:
        count: of all images.
        before: those that had a row already.
        unreadable: of the others, those that cannot be read.
        seconds: from the start of Ray to the last row.
        computed_by: as `ONNX Runtime in 2 actors`.
    """

    count: int
    before: int
    unreadable: int
    seconds: float
    computed_by: str

    def __str__(self) -> str:
        done = self.count - self.before
        text = f"{done:,} of {counted(self.count, 'image[s]')} in {self.seconds:.1f} s"
        text += f", {done / self.seconds:.0f} images/s by {self.computed_by}"
        text += f"; {self.before:,} were there already" if self.before else ""
        return f"{text}; {self.unreadable:,} cannot be read" if self.unreadable else text


def predict_images(
    saved: SavedRun, job: BatchJob, images: BatchImages, output: Path
) -> BatchPredictions:
    """Write a row for each image that has none yet.

    Raises:
        SettingError: the folder belongs to another run, or a process of Ray was lost.
    """
    folder, started = OutputFolder(output), time.perf_counter()
    with folder.begun(job):
        missing = folder.missing(images.names)
        before, unreadable, by = len(images.names) - len(missing), 0, "nothing"
        if missing:
            with _ray():
                found, by = _results(saved, job, missing, images.column, folder)
                bar = tqdm(total=len(missing), desc="predicting", unit=" images", **_interval())
                with bar, _explained(output):
                    for row in found:
                        bar.update(int(row["images"]))
                        unreadable += int(row["unreadable"])
        if (rows := folder.count()) != len(images.names):
            raise SettingError(
                f"output={output} has {rows:,} rows for {len(images.names):,} images; was it "
                "changed by another program? Choose a new folder"
            )
    seconds = time.perf_counter() - started
    return BatchPredictions(len(images.names), before, unreadable, seconds, by)


def _interval() -> dict[str, float]:
    return {"mininterval": 0.1 if sys.stderr.isatty() else 10}


@contextlib.contextmanager
def _ray() -> Iterator[None]:
    """Ray, of the cluster in RAY_ADDRESS or on this machine, without its own messages."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():  # by the program
        yield
        return
    local: dict[str, Any] = {"include_dashboard": False}
    if os.environ.get("RAY_ADDRESS"):
        local = {}
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _results(
    saved: SavedRun, job: BatchJob, names: list[str], column: str, folder: OutputFolder
) -> tuple[Any, str]:
    """An iterator over a dictionary of counts for each part, and what computes."""
    import ray

    arrow, _ = pyarrow("engine=ray")
    cpus, gpus = (int(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
    on_gpus = gpus if job.engine == KERAS else 0
    actors = on_gpus or cpus
    if not actors:
        raise SettingError(
            "engine=ray finds no CPU in the cluster; add a machine to it, or leave RAY_ADDRESS out"
        )
    # Small enough for several parts on each core, which then end at about the same time.
    size = max(min(PART, -(-len(names) // (4 * cpus))), 1)
    encoded = [os.fsencode(name) for name in names]  # of any bytes, as file names are
    tables = [
        arrow.table({"name": arrow.array(encoded[start : start + size], arrow.binary())})
        for start in range(0, len(encoded), size)
    ]
    data = ray.data.from_arrow(tables).map_batches(
        _decode,  # type: ignore[arg-type]  # it takes more arguments
        fn_args=(_reader(saved), column),
        batch_size=None,
        batch_format="numpy",
        num_cpus=1,
    )
    data = data.map_batches(
        Actor,
        fn_constructor_args=(job, folder.path, folder.attempt),
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(tables))),
        batch_size=None,
        batch_format="numpy",
        num_cpus=0 if on_gpus else 1,
        num_gpus=1 if on_gpus else 0,
    )
    engine = "Keras" if job.engine == KERAS else "ONNX Runtime"
    by = f"{engine} in {counted(min(actors, len(tables)), 'actor[s]')} of Ray"
    return data.iter_rows(), by


def _reader(saved: SavedRun) -> BatchReader:
    data, shape = saved.config.data, input_shape(saved.model_file)
    assert shape is not None  # the model was checked
    rows, columns, channels = shape
    options = PixelOptions.of(data)
    return BatchReader((rows, columns, channels), data.resize_mode, options, BATCH, workers=1)


def _decode(batch: dict[str, Any], reader: BatchReader, column: str) -> dict[str, Any]:
    """n names -> (n, X, Y, C) pixels, and the reason of each image that cannot be read."""
    names = [os.fsdecode(name) for name in batch["name"]]
    pixels = np.zeros((len(names), *reader.shape), reader.options.dtype)
    reasons = [""] * len(names)
    with pillow_warnings_ignored():
        for index, item in enumerate(read_items(names, column)):
            found = reader.read(item)
            if isinstance(found, Unreadable):
                reasons[index] = found.reason
            else:
                pixels[index] = found
    return {"name": batch["name"], "pixels": pixels, "reason": np.array(reasons)}


class Actor:
    """Holds the model of a run, and writes a part for each block of pixels."""

    def __init__(self, job: BatchJob, output: Path, attempt: str) -> None:
        self.job, self.folder = job, OutputFolder(output, attempt)
        self.predictor = Predictor(
            job.run, BATCH, engine=job.engine, calibrated=job.calibrated, threads=THREADS
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """n names, pixels and reasons -> their numbers, after the rows were written."""
        names = [utf8(os.fsdecode(name)) for name in batch["name"]]
        reasons = [str(reason) for reason in batch["reason"]]
        read = np.array([not reason for reason in reasons])
        self.folder.write(self._columns(names, reasons, np.asarray(batch["pixels"])[read], read))
        return {"images": np.array([len(names)]), "unreadable": np.array([int((~read).sum())])}

    def _columns(
        self, names: list[str], reasons: list[str], pixels: np.ndarray, read: np.ndarray
    ) -> dict[str, Any]:
        arrow, _ = pyarrow("output")
        found: dict[str, list[Any]] = {"class": [], "confidence": [], "labels": []}
        probabilities, vectors = list[np.ndarray](), list[np.ndarray]()
        for start in range(0, len(pixels), BATCH):
            some = pixels[start : start + BATCH]
            rows = self.predictor.outputs(some, self.job.flip).probabilities
            probabilities += list(rows)
            for top, _, labels in self.predictor.ranked(rows, top_k=1):
                found["class"].append(top[0].label)
                found["confidence"].append(top[0].confidence)
                found["labels"].append([one.label for one in labels or ()])
            if self.job.embeddings:
                vectors += list(self.predictor.embedder.vectors(some))
        numbers = arrow.list_(arrow.float32())
        columns = {
            "path": arrow.array(names, arrow.string()),
            "class": _filled(found["class"], read, arrow.string()),
            "confidence": _filled(found["confidence"], read, arrow.float32()),
        }
        if self.predictor.run.is_multilabel:
            columns["labels"] = _filled(found["labels"], read, arrow.list_(arrow.string()))
        if self.job.probabilities:
            columns["probabilities"] = _filled(probabilities, read, numbers)
        if self.job.embeddings:
            columns["embedding"] = _filled(vectors, read, numbers)
        return {**columns, "reason": arrow.array([one or None for one in reasons], arrow.string())}


def _filled(values: list[Any], read: np.ndarray, type: Any) -> Any:
    """An Arrow array of a value for each image that could be read, and null for each other one."""
    arrow, _ = pyarrow("output")
    left = iter(values)
    return arrow.array([next(left) if is_read else None for is_read in read], type)


@contextlib.contextmanager
def _explained(output: Path) -> Iterator[None]:
    """Say in a line what to do when Ray has lost a process, or an actor refuses the settings."""
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, SettingError):
            raise SettingError(str(error.cause)) from None
        raise
    except RayError as error:
        raise SettingError(
            f"Ray has lost a process ({first_line(error)}); the same command goes on with the "
            f"images that have no row in output={output}"
        ) from None
