"""What computes a prediction: the run's ONNX file by ONNX Runtime, or its model by Keras.

Both give the same probabilities, to about 1e-6. Keras takes ten seconds to import, ONNX Runtime a
tenth of one, so that Keras is imported only by its engine. Keras can use a GPU, and compiles a step
for each size of a batch.

n images, (X, Y, C) shape of the model's input.
"""

import logging
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vit_keras import backend, validators
from vit_keras.errors import SettingError
from vit_keras.export import current, preflight
from vit_keras.export.formats import FORMATS
from vit_keras.export.onnx_session import OOD_SCORE, PROBABILITIES, OnnxSession, Outputs
from vit_keras.runs.saved_run import SavedRun

if TYPE_CHECKING:
    import keras

ENGINES = AUTO, KERAS, ONNX, ONNX_INT8 = ("auto", "keras", "onnx", "onnx_int8")
ONNX_FORMATS = {ONNX: "ONNX", ONNX_INT8: "8-bit ONNX"}  # an engine has the name of its export
RUNTIME = {"onnxruntime": "onnxruntime"}  # the one package that reading an ONNX file takes

log = logging.getLogger("vit_keras")


class Engine(Protocol):
    """Computes probabilities, and OOD scores if the run has been evaluated.

    Attributes:
        name: in messages.
        input_shape: (X, Y, C).
        has_ood_score: whether it can compute OOD scores.
    """

    name: str
    input_shape: tuple[int, int, int]
    has_ood_score: bool

    def outputs(self, images: np.ndarray) -> Outputs:
        """(n, X, Y, C) -> probabilities, calibrated by the run's temperature, and scores.

        Images are of the dtype of the run's `PixelOptions`.
        """


class OnnxEngine:
    """The run's export to ONNX, opened by ONNX Runtime, on the CPU."""

    name = "ONNX Runtime"

    def __init__(self, saved: SavedRun, format: str = ONNX, threads: int | None = None) -> None:
        """Open the file of one of `ONNX_FORMATS`.

        Raises:
            SettingError: it cannot be opened, or has another number of classes.
        """
        file = preflight.export_folder(saved, format) / FORMATS[format].file
        session = OnnxSession(file, threads)
        if session.classes != len(saved.class_names):
            raise SettingError(
                f"{file} has {session.classes} classes, and class_mapping.json of the run names "
                f"{len(saved.class_names)}; export again"
            )
        self.input_shape, self.outputs = session.input_shape, session.outputs
        self.has_ood_score = FORMATS[format].has_ood_score


class KerasEngine:
    """The run's model in Keras, on the device that Keras computes on."""

    name = "Keras"
    has_ood_score = True

    def __init__(self, saved: SavedRun, batch_size: int) -> None:
        """Import Keras and load the model.

        Raises:
            SettingError: the model is missing or damaged.
        """
        backend.import_keras()
        from vit_keras.export.serving_model import serving_model

        self.model = serving_model(saved, with_ood_score=True)
        self.input_shape: tuple[int, int, int] = self.model.input_shape[1:]
        self._compute = PaddedModel(self.model, batch_size)

    def outputs(self, images: np.ndarray) -> Outputs:
        """As of `Engine`."""
        found = self._compute(images)
        if not isinstance(found, dict):
            return Outputs(found, None)
        return Outputs(found[PROBABILITIES], found[OOD_SCORE])


class PaddedModel:
    """A Keras model for batches of any size up to the largest, for few of which it is compiled.

    A batch is padded with zeros to a size that was, or is now, compiled.
    """

    def __init__(self, model: "keras.Model", largest: int) -> None:
        self.model, self._largest = model, largest
        self._sizes: set[int] = set()  # of batches that a step was compiled for

    def __call__(self, images: np.ndarray) -> Any:
        """(n, X, Y, C) -> the output (n, ...) as an array, or a dictionary of several."""
        count = len(images)
        new = min(self._largest, _next_power_of_two(count))
        size = min((size for size in self._sizes if size >= count), default=new)
        self._sizes.add(size)
        batch = np.zeros((size, *images.shape[1:]), images.dtype)
        batch[:count] = images
        found = self.model.predict_on_batch(batch)
        if isinstance(found, dict):
            return {name: np.asarray(one)[:count] for name, one in found.items()}
        return np.asarray(found)[:count]


def check_engine(saved: SavedRun, engine: str) -> None:
    """Refuse an engine that cannot be used, before Keras is imported.

    Raises:
        SettingError: it is unknown, or needs a package that is not installed.
    """
    validators.check_choice("engine", engine, ENGINES)
    if engine not in ONNX_FORMATS:
        return
    if preflight.missing_packages(RUNTIME):
        raise SettingError(
            f"engine={engine} needs onnxruntime, not installed here: pip install onnxruntime; or "
            "set engine=keras"
        )
    if reason := _why_export(saved, engine):
        if saved.is_package:
            raise SettingError(
                f"engine={engine}: the registered model in {saved.path} is without its run, and "
                f"{reason}; export the run, and register it again"
            )
        preflight.check_format(engine, preflight.backend_name(), "engine")


def open_engine(
    saved: SavedRun, engine: str, batch_size: int, threads: int | None = None
) -> Engine:
    """The engine of a prediction.

    Args:
        saved: the run.
        engine: `keras`; `onnx` or, with weights of 8 bits, `onnx_int8`, for which a run without a
            usable file is exported first; or `auto`: `onnx` if the run has a usable file and there
            is no GPU, otherwise `keras`.
        batch_size: the largest number of images that are predicted at a time.
        threads: those that ONNX Runtime computes with; the number of CPU cores by default.

    Raises:
        SettingError: the engine cannot be used, or the model is missing or damaged.
    """
    check_engine(saved, engine)
    if engine in ONNX_FORMATS:
        if reason := _why_export(saved, engine):
            log.warning("%s is exported to %s first: %s", saved.path, ONNX_FORMATS[engine], reason)
            _export(saved, engine)
        return OnnxEngine(saved, engine, threads)
    found = None
    if engine == AUTO and not backend.has_gpu_device():
        found = _usable_onnx(saved, threads)
    return found or KerasEngine(saved, batch_size)


def resolved(saved: SavedRun, engine: str) -> str:
    """The name of the engine that `open_engine` would open; a missing export is written."""
    if engine != AUTO:
        open_engine(saved, engine, 1) if engine in ONNX_FORMATS else check_engine(saved, engine)
        return engine
    return ONNX if not backend.has_gpu_device() and _usable_onnx(saved) else KERAS


def outdated_onnx(saved: SavedRun) -> str:
    """Why the ONNX file that a run has is not to be used; empty if it is, or there is none."""
    return current.export_fault(saved, ONNX) if current.has_export(saved, ONNX) else ""


def _why_export(saved: SavedRun, format: str) -> str:
    if not current.has_export(saved, format):
        return f"it has no {ONNX_FORMATS[format]} file yet"
    fault = current.export_fault(saved, format)
    return f"of its file, {fault}" if fault else ""


def _export(saved: SavedRun, format: str) -> None:
    backend.import_keras()
    from vit_keras.export.exporter import export_run

    export_run(saved.path, format)


def _usable_onnx(saved: SavedRun, threads: int | None = None) -> OnnxEngine | None:
    """The ONNX file of a run; None, and a warning why, if the file that it has is not usable."""
    if not current.has_export(saved, ONNX):
        return None
    fault = current.export_fault(saved, ONNX)
    if not fault and preflight.missing_packages(RUNTIME):
        fault = "pip install onnxruntime to use it"
    if not fault:
        try:
            return OnnxEngine(saved, threads=threads)
        except SettingError as error:
            fault = str(error)
    folder = preflight.export_folder(saved, ONNX)
    log.warning("WARNING: predicted by Keras, and not by %s: %s", folder, fault)
    return None


def _next_power_of_two(count: int) -> int:
    """Calls with few images share a few compiled shapes; less than half of a batch is padding."""
    return 1 << (count - 1).bit_length()
