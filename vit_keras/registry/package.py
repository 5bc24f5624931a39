"""The folder that is registered: a run without its Keras files, served by its ONNX export.

No pickle: ONNX, NumPy arrays without objects, JSON, YAML and text.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import vit_keras
from vit_keras.errors import SettingError
from vit_keras.export import current
from vit_keras.export.preflight import export_folder
from vit_keras.predict.engines import ONNX, ONNX_FORMATS
from vit_keras.runs.run_dir import read_json, read_or_default
from vit_keras.runs.saved_run import PACKAGE, SavedRun
from vit_keras.runs.training_images import TRAINING_IMAGES

CARD = "README.md"
EVALUATION = "evaluation/evaluation.json"
# Files and folders of a run that are registered, those that it has.
KEPT = (
    *("config.yaml", "paths.json", "environment.json", "class_mapping.json", "metrics.json"),
    *("temperature.json", "abstention.npz", "thresholds.json", "preprocess.py", TRAINING_IMAGES),
    *("evaluation/per_class.csv", "evaluation/confusion.csv", "evaluation/confusion.png"),
    *("evaluation/reliability.csv", "evaluation/reliability.png", EVALUATION),
)


def check_packable(saved: SavedRun) -> None:
    """Refuse a run that cannot be registered.

    Raises:
        SettingError: it has no model, or was not evaluated.
    """
    saved.check_model()
    if not (saved.path / EVALUATION).is_file():
        raise SettingError(
            f"run={saved.path} was not evaluated, so its calibration is not known; "
            f"vit-keras evaluate {saved.path}"
        )


def write_package(saved: SavedRun, folder: Path) -> str:
    """Write the package of a run, which has a current ONNX export, and return its digest."""
    for name in KEPT:
        _copy(saved.path / name, folder / name)
    for format in ONNX_FORMATS:
        if current.has_export(saved, format) and not current.export_fault(saved, format):
            source = export_folder(saved, format)
            shutil.copytree(source, folder / source.relative_to(saved.path))
    (folder / CARD).write_text(model_card(saved), encoding="utf-8")
    description = {
        "run": saved.path.name,
        "vit_keras": vit_keras.__version__,
        current.FINGERPRINT: current.model_fingerprint(saved.model_file),
    }
    text = json.dumps(description, indent=2, ensure_ascii=False)
    (folder / PACKAGE).write_text(text + "\n", encoding="utf-8")
    return package_digest(folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def package_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of all files: equal packages have the same."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        digest.update(f"{name}\n{current.checksum(file)}\n".encode())
    return digest.hexdigest()


def package_bytes(folder: Path, format: str = ONNX) -> int:
    """Bytes of the model that is served."""
    report = read_or_default(read_json, folder / "export" / format / "export.json", {})
    return int(report.get("bytes", 0))


def model_card(saved: SavedRun) -> str:
    """The model card of a run, in Markdown: what it is, what it reached, and what it is not for."""
    evaluation = read_or_default(read_json, saved.path / EVALUATION, {})
    environment = read_or_default(read_json, saved.path / "environment.json", {})
    low, high = evaluation.get("accuracy_interval") or (None, None)
    accuracy = _number(evaluation.get("accuracy"))
    if low is not None:
        accuracy += f" (95% interval {low:.4f} to {high:.4f})"
    calibrated = (evaluation.get("calibration") or {}).get("ece_calibrated")
    rows = {
        "run": saved.path.name,
        "test accuracy": f"{accuracy} on {evaluation.get('images')} images",
        "expected calibration error": _number(calibrated),
        "temperature": _number(saved.temperature),
        "data": f"{saved.config.data.name}, fingerprint {environment.get('data_fingerprint')}",
        "trained by": f"vit_keras at commit {environment.get('git_commit')}",
        "evaluated": str(evaluation.get("evaluated_at", "")),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    classes = "\n".join(f"- {' '.join(name.split())}" for name in saved.class_names)
    return (
        f"# {saved.path.name}\n\nA Vision Transformer that classifies images; input and "
        "output are described in `export/onnx/export.json`.\n\n"
        f"| | |\n| --- | --- |\n{table}\n\n"
        "Its figures are of test images like those that it was trained on. On other images "
        "it can be wrong with a high confidence.\n\n"
        f"## Classes\n\n{classes}\n"
    )


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "not measured"
