"""The model of `train.teacher`, from which the trained one also learns (knowledge distillation).

Letters: B batch, n images, (x, y) image height and width, C channels, K classes.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.config.schema import Config
from vit_keras.data.dataset import Split, Splits
from vit_keras.data.image_hashes import image_hashes
from vit_keras.errors import SettingError
from vit_keras.model.preprocessing import OnBatches, to_model_input
from vit_keras.model.vit import build_vit, describe
from vit_keras.pretrained import download, load
from vit_keras.runs.run_dir import is_run
from vit_keras.runs.saved_run import open_run
from vit_keras.runs.training_images import read_training_images
from vit_keras.text import counted
from vit_keras.training.combined_run import logits_of
from vit_keras.training.teacher_checks import SETTING, class_order, teacher_labels


class Teacher(keras.layers.Layer):
    """A trained model: pixels (B, x, y, C) -> logits (B, K), in the order of the data's classes.

    It gets the images as the model gets them that it teaches, augmented and mixed, and resizes
    them to its own input; the normalisation is its own. Never trained, and without dropout.

    Args:
        model: pixels to logits.
        order: (K,) for each class of the data, its position among the logits of `model`.
    """

    def __init__(self, model: keras.Model, order: Sequence[int], **kwargs: Any) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.model = model
        self.model.trainable = False
        self.order = np.array(order, "int32")
        self.built = True  # the model is, and it may never be called here: its logits are cached

    def call(self, images):
        images = to_model_input(ops.cast(images, "float32"), self.model.input_shape[1:])
        logits = self.model(images, training=False)
        return ops.stop_gradient(ops.take(logits, self.order, axis=-1))

    def logits_of(self, split: Split, batch_size: int) -> np.ndarray:
        """Of images as they are, without augmentation: (n, K) float32."""
        return logits_of(OnBatches(self.model), split, batch_size)[:, self.order]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights in order, and of the order of the classes."""
        digest = hashlib.sha256(self.order.tobytes())
        for weight in self.model.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight), "float32").data)
        return digest.hexdigest()


def load_teacher(config: Config, splits: Splits, policy: str) -> Teacher | None:
    """The teacher of a run; None for a run without one.

    Args:
        config: a checked configuration.
        splits: their classes and the channels of their images.
        policy: the Keras dtype policy of the model that is taught, which a ViT computes in too.

    Raises:
        SettingError: it cannot be loaded, or is of other classes or channels.
    """
    handle = config.train.teacher
    if handle is None:
        return None
    names: list[str] | None
    if is_run(handle):
        saved = open_run(handle)
        model, names = _in_policy(saved.model, policy), saved.class_names
    else:
        model, names = _load_pretrained(handle, policy)
    channels, needed = splits.train.images.shape[-1], model.input_shape[-1]
    if channels not in (1, needed):
        raise SettingError(
            f"{SETTING}={handle} takes images of {counted(needed, 'channel[s]')}, and the data "
            f"have {channels}; name another teacher"
        )
    classes, given = len(splits.class_names), model.output_shape[-1]
    if names is None and given != classes:
        raise SettingError(
            f"{SETTING}={handle} has {counted(given, 'class[es]')}, and the data {classes}; name a "
            "teacher of the same classes"
        )
    order = range(classes) if names is None else class_order(handle, names, splits.class_names)
    return Teacher(model, list(order), name="teacher")


def describe_teacher(config: Config, teacher: Teacher, is_distilled: bool) -> str:
    """What is logged of the teacher of a model, with a distillation token or without, in a line."""
    train = config.train
    how = {"soft": f"at temperature {train.teacher_temperature:g}", "hard": "by its hard labels"}
    size = "x".join(map(str, teacher.model.input_shape[1:3]))
    return (
        f"{train.teacher}, {teacher.model.count_params():,} parameters, images of {size}; "
        f"it has {train.teacher_weight:g} of the loss, {how[teacher_labels(train, is_distilled)]}"
    )


def trained_on(config: Config, splits: Splits) -> str:
    """A warning where the teacher was trained on validation or test images; or nothing."""
    handle = str(config.train.teacher)
    known = read_training_images(Path(handle).expanduser()) if is_run(handle) else None
    if known is None:
        return ""
    parts = {"validation": splits.validation, "test": splits.test}
    found = {name: image_hashes(part.images).count_in(known) for name, part in parts.items()}
    seen = [f"{count} of the {name} images" for name, count in found.items() if count]
    if not seen:
        return ""
    return (
        f"{SETTING}={handle} was trained on {' and '.join(seen)}: scores on them may be too good "
        "(data leakage)"
    )


def _load_pretrained(handle: str, policy: str) -> tuple[keras.Model, list[str] | None]:
    """A pretrained model with its own head, and the names of its classes if its file has them."""
    try:
        model, _ = load.load_with_report(handle, dtype=policy)
    except SettingError as error:
        raise SettingError(f"{SETTING}: {error}") from None
    if model.layers[-1].name == "features":
        raise SettingError(
            f"{SETTING}={handle} has no head, and so no classes; name a model that was trained on "
            "the same classes"
        )
    path = download.fetch(handle)
    names = _class_names((path if path.is_dir() else path.parent) / "config.json")
    return model, names if names and len(names) == model.output_shape[-1] else None


def _class_names(file: Path) -> list[str] | None:
    """Of Hugging Face's config.json; None where it has none, or only LABEL_0, LABEL_1, ..."""
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))["id2label"]
        names = [str(labels[str(index)]) for index in range(len(labels))]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if names[:1] == ["LABEL_0"] else names


def _in_policy(model: keras.Model, policy: str) -> keras.Model:
    """The same ViT in another dtype policy; an ensemble as it is."""
    try:
        architecture = describe(model)
    except SettingError:  # not one ViT
        return model
    if model.get_layer("encoder_block_0").dtype_policy.name == policy:
        return model
    copy = build_vit(None, dtype=policy, name=model.name, **architecture)
    copy.set_weights(model.get_weights())
    return copy
