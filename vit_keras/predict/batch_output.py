"""The output of a batch inference: a folder of Parquet files, to which what is missing is added.

`job.json` says which model made it and how. Each `part-*.parquet` is written whole or not at all,
and has a row for each of its images:

    path             of the file, or `photos.parquet#17` of a row
    class            null of an image that cannot be read, as are the other columns
    confidence       float32
    labels           of a run with task=multilabel: all labels above their thresholds
    probabilities    float32 of each class, in the order of `classes` in `job.json`; on request
    embedding        float32 of D numbers; on request
    reason           why an image cannot be read

Nothing here imports Keras or Ray.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from vit_keras.errors import SettingError
from vit_keras.export.current import model_fingerprint
from vit_keras.io import atomic
from vit_keras.logs import log
from vit_keras.predict.embedding_files import pyarrow, utf8
from vit_keras.runs.saved_run import SavedRun

JOB, LOCK, ATTEMPT = "job.json", ".lock", ".attempt"
PARTS = "part-*.parquet"


@dataclass(frozen=True)
class BatchJob:
    """What decides the rows of a batch inference.

    Attributes:
        run: absolute path of the run.
        model: fingerprint of its architecture and weights.
        temperature: that divides the logits.
        classes: name of each probability, in order.
        engine: what computes, of `engines.ENGINES` without `auto`.
        calibrated: whether the run's temperature is used.
        flip: horizontal-flip test-time augmentation.
        probabilities: whether there is a column of all probabilities.
        embeddings: whether there is a column of what the classification head reads.
    """

    run: str
    model: str
    temperature: float
    classes: list[str]
    engine: str
    calibrated: bool = True
    flip: bool = False
    probabilities: bool = False
    embeddings: bool = False


def batch_job(saved: SavedRun, **settings: Any) -> BatchJob:
    """The job of a run by its current model; `settings` are the other attributes."""
    return BatchJob(
        run=str(saved.path.absolute()),
        model=model_fingerprint(saved.model_file),
        temperature=saved.temperature,
        classes=list(saved.class_names),
        **settings,
    )


class OutputFolder:
    """The folder of the Parquet files.

    Attributes:
        path: of the folder.
        attempt: names the process that may add to it now; parts of an earlier one, whose workers
            may live a little longer, are then refused.
    """

    def __init__(self, path: Path, attempt: str = "") -> None:
        self.path, self.attempt = path, attempt

    def check(self, job: BatchJob) -> None:
        """Refuse a folder that the rows of `job` cannot be added to.

        Raises:
            SettingError: it holds something else, or belongs to another run or other settings.
        """
        atomic.check_output_folder(self.path, JOB)
        if not (self.path / JOB).is_file():
            return
        try:
            found = BatchJob(**json.loads((self.path / JOB).read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SettingError(
                f"output={self.path} has a damaged {JOB} ({error}); choose a new folder"
            ) from None
        ours, theirs = ((one.model, one.temperature, one.classes) for one in (job, found))
        if ours != theirs:
            now = f"run={job.run} is another model"
            if found.run == job.run:
                now = "that run has other weights or another temperature now"
            raise SettingError(
                f"output={self.path} belongs to run={found.run}, and {now}; choose a new folder"
            )
        for name in ("engine", "calibrated", "flip", "probabilities", "embeddings"):
            was, now = getattr(found, name), getattr(job, name)
            if was != now:
                raise SettingError(
                    f"output={self.path} was begun with {name}={was}, and now it is {now}; leave "
                    "it as it was, or choose a new folder"
                )

    @contextlib.contextmanager
    def begun(self, job: BatchJob) -> Iterator[None]:
        """Make the folder, and keep other processes out of it.

        Raises:
            SettingError: another process adds to it now, or as of `check`.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / LOCK)
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise SettingError(
                f"output={self.path} is being written by another process; wait for it"
            ) from None
        except OSError as error:
            raise atomic.cannot_be_made(f"output={self.path}", error) from None
        try:
            if not (self.path / JOB).is_file():
                content = json.dumps(asdict(job), indent=2, ensure_ascii=False) + "\n"
                atomic.write_text(self.path / JOB, content)
            self.check(job)
            self.attempt = secrets.token_hex(4)
            atomic.write_text(self.path / ATTEMPT, self.attempt)
            # Left by a process that was killed, or about to be renamed by a worker of it, which has
            # looked at the attempt before: either the part is there now, or it never comes.
            for left in self.path.glob(".new-*"):
                left.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that have no row yet, in order.

        Raises:
            SettingError: the folder has rows of images that are not among them.
        """
        done: set[str] = set()
        for part in sorted(self.path.glob(PARTS)):
            done |= set(self._paths(part))
        texts = {name: utf8(name) for name in names}
        if others := done - set(texts.values()):
            raise SettingError(
                f"output={self.path} has rows of {len(others):,} images that are not among these, "
                f"such as {min(others)}; name the same images, or choose a new folder"
            )
        return [name for name, text in texts.items() if text not in done]

    def _paths(self, part: Path) -> list[str]:
        arrow, parquet = pyarrow(f"output={self.path}")
        try:
            return parquet.read_table(part, columns=["path"])["path"].to_pylist()
        except (arrow.ArrowException, OSError, KeyError) as error:
            log.warning("%s is damaged, and its images are predicted again: %s", part, error)
            part.unlink()
            return []

    def write(self, columns: dict[str, Any]) -> None:
        """Add a part, whose name follows from its images: written twice, it is there once.

        Raises:
            RuntimeError: another process has taken over.
        """
        arrow, parquet = pyarrow(f"output={self.path}")
        paths = "\n".join(columns["path"].to_pylist())
        digest = hashlib.sha256(paths.encode()).hexdigest()
        file = self.path / f"part-{self.attempt}-{digest[:16]}.parquet"
        with atomic.atomic_file(file) as new:
            parquet.write_table(arrow.table(columns), new)
            if (self.path / ATTEMPT).read_text("utf-8") != self.attempt:
                raise RuntimeError(f"another process writes {self.path} now")

    def count(self) -> int:
        """Rows of all parts."""
        _, parquet = pyarrow(f"output={self.path}")
        return sum(parquet.read_metadata(part).num_rows for part in self.path.glob(PARTS))
