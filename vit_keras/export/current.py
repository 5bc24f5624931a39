"""Whether the export in a run directory is still what the run would export now. Imports no Keras.

An export holds the weights and the class names of its run, and what an evaluation has fitted: the
temperature, when to abstain, and the thresholds of several labels. More training, an evaluation or
an edit changes them.
"""

import hashlib
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

from vit_keras.export.formats import FORMATS
from vit_keras.export.preflight import EXPORT, export_folder
from vit_keras.io.zip_files import FULLY_CHECKED, UNREADABLE
from vit_keras.runs.saved_run import MODEL, SavedRun
from vit_keras.text import first_line

FINGERPRINT = "model_fingerprint"  # keys of export.json
CHECKSUM = "sha256"
ABSTENTION = "abstention"

log = logging.getLogger("vit_keras")


def model_fingerprint(file: Path) -> str:
    """A fingerprint of the architecture and the weights in a `.keras` file.

    From the checksums that the file, a zip, has of its parts: nothing else is read of it. The part
    left out has the time at which it was saved.
    """
    with zipfile.ZipFile(file) as archive:
        parts = sorted((e.filename, e.CRC, e.file_size) for e in archive.infolist())
    kept = [part for part in parts if part[0] != "metadata.json"]
    return hashlib.sha256(repr(kept).encode()).hexdigest()


def has_export(saved: SavedRun, format: str) -> bool:
    """Whether the run has an export of this format in its own folder."""
    return (export_folder(saved, format) / EXPORT).is_file()


def export_fault(saved: SavedRun, format: str) -> str:
    """Why the export of a run is not to be used, as `it is of other weights`; empty if it is.

    The file is that of the export by its size and, up to 32 MiB, by its checksum. Exports of
    version 0.1 recorded neither that nor the fingerprint of the model: they are as old as the file.
    """
    folder = export_folder(saved, format)
    file = folder / FORMATS[format].file
    try:
        report = json.loads((folder / EXPORT).read_text(encoding="utf-8"))
        if not file.exists():
            return "its file is missing"
        if file.is_file() and (damage := _damage(file, report)):
            return damage
        return _difference(saved, file, report)
    except (*UNREADABLE, TypeError, AttributeError) as error:
        return f"it cannot be read ({first_line(error)})"


def _damage(file: Path, report: dict[str, Any]) -> str:
    size = file.stat().st_size
    if CHECKSUM not in report:
        return ""
    is_whole = size == report["bytes"]
    if is_whole and size <= FULLY_CHECKED:
        is_whole = checksum(file) == report[CHECKSUM]
    return "" if is_whole else "it is damaged (its checksum)"


def checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _difference(saved: SavedRun, file: Path, report: dict[str, Any]) -> str:
    if saved.is_package:
        return ""  # it was current when it was registered, and nothing of it changes
    model = saved.model_file
    if FINGERPRINT in report:
        is_of_model = report[FINGERPRINT] == model_fingerprint(model)
    else:
        is_of_model = file.stat().st_mtime >= model.stat().st_mtime
    if not is_of_model:
        return f"it is of other weights than {MODEL}"
    if report["temperature"] != saved.temperature:
        return f"it has temperature {report['temperature']:.3f}, the run {saved.temperature:.3f}"
    if report.get("thresholds") != thresholds_of(saved):
        return "it has other thresholds than the run"
    if report["class_names"] != saved.class_names:
        return "it has other class names than the run"
    # Those of earlier versions have none, as has a run that was not evaluated since.
    if report.get(ABSTENTION) != (saved.abstention.summary if saved.abstention else None):
        return "it does not abstain as the run does since its evaluation"
    return ""


def thresholds_of(saved: SavedRun) -> dict[str, float] | None:
    """The threshold of each of several labels by its name, as an export has them."""
    if saved.thresholds is None:
        return None
    return dict(zip(saved.class_names, saved.thresholds.values, strict=True))


def make_again(saved: SavedRun, format: str, reason: str) -> None:
    """Replace an export that is out of date, and say why; if that fails, say so and go on."""
    from vit_keras.export.exporter import export_run  # imports Keras

    folder = export_folder(saved, format)
    log.info("%s is made again: %s", folder, reason)
    try:
        export_run(saved.path, format)
    except Exception as error:  # of TensorFlow, tf2onnx or the disk: the command has its result
        log.warning("WARNING: %s is not made again: %s", folder, first_line(error))
        log.debug("traceback:", exc_info=error)
