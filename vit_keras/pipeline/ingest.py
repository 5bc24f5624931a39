"""A new version of the data, made of what is new in the folder of incoming images.

The images that models are tested on are drawn once, from the first version, and stay so: champion
and challenger are compared on the same ones, week after week.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data.stratify import assign_parts
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io import atomic
from vit_keras.pipeline.incoming import Found, Incoming, group_near, select_new
from vit_keras.pipeline.settings import PipelineSettings
from vit_keras.pipeline.versions import TEST, TRAIN, Image, LeftOut, Version, next_name
from vit_keras.text import counted, now

FEWEST = 3  # different images of a new class: to train on, to validate on, to test on


def ingest(
    settings: PipelineSettings,
    config: DataConfig,
    incoming: Incoming,
    versions: Sequence[Version],
    used: Sequence[Version],
    has_champion: bool,
) -> tuple[Version | None, list[LeftOut]]:
    """Write a version of what is new, unless nothing is.

    Args:
        settings: of the pipeline.
        config: how files become pixels.
        incoming: of `settings.incoming`.
        versions: all that there are.
        used: those in use.
        has_champion: whether a model of these classes was promoted.

    Returns:
        The version or None, and the files that were left out.

    Raises:
        SettingError: a class is not known, or has too few images; nothing is written.
    """
    data = Path(settings.data)
    set_aside = [one for one in versions if one not in used]
    new, copies = select_new(incoming, replace(config, path=str(data)), used, set_aside)
    left_out = [*incoming.left_out, *copies]
    if not new:
        return None, left_out
    known = {image.label for version in used for image in version.images}
    _check_classes(settings, new, known, has_champion)
    splits = _draw(settings, new, incoming, known)
    images = tuple(
        Image(one.record.path, one.label, one.record.sha256, split)
        for one, split in zip(new, splits, strict=True)
    )
    version = Version(next_name(versions), now(), images, tuple(left_out))
    data.mkdir(parents=True, exist_ok=True)
    with atomic.atomic_folder(data / version.name) as folder:
        for image in images:
            _copy(incoming.root / image.file, folder / image.file, image.sha256)
        version.write(folder)
    return version, left_out


def _copy(source: Path, target: Path, sha256: str) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise SettingError(f"{source} cannot be read any more ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SettingError(f"{source} has changed while it was ingested; start again")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _check_classes(
    settings: PipelineSettings, new: Sequence[Found], known: set[str], has_champion: bool
) -> None:
    """Refuse classes that are not known and not said to be new."""
    images = Counter(one.label for one in new)
    place = f"incoming={settings.incoming}"
    if not known and len(images) < 2:
        raise SettingError(f"{place} has images of one class, {new[0].label}; two are needed")
    strange = sorted(set(images) - known) if known else []
    for name in strange:
        if name not in settings.new_classes:
            raise SettingError(
                f"{place} has {counted(images[name], 'image[s]')} of the class {name}, which is "
                f"new; name it in new_classes, or rename its folder{did_you_mean(name, known)}"
            )
    if strange and has_champion:
        raise SettingError(
            f"new_classes={strange[0]}: the champion of {settings.name} does not have that class, "
            "and the gate compares models of the same classes; choose another name for the model "
            "of more classes"
        )


def _draw(
    settings: PipelineSettings, new: Sequence[Found], incoming: Incoming, known: set[str]
) -> list[str]:
    """The split of each image: near-duplicates stay together, and all classes are tested on."""
    names = sorted({one.label for one in new})
    labels = np.array([names.index(one.label) for one in new])
    groups = group_near(new, incoming)
    quotas = []
    for number, name in enumerate(names):
        size, different = int((labels == number).sum()), len({*groups[labels == number]})
        tested = round(settings.new_test_fraction * size)
        if name not in known:
            if different < FEWEST:
                raise SettingError(
                    f"incoming={settings.incoming}: the new class {name} has "
                    f"{counted(different, 'different image[s]')}, and {FEWEST} are needed, to "
                    "train, to validate and to test on; add images, or take the folder away"
                )
            tested = min(max(1, round(settings.test_fraction * size)), size - FEWEST + 1)
        quotas.append([tested, size - tested])
    rng = np.random.default_rng(0)
    orders = [rng.permutation(np.flatnonzero(labels == number)) for number in range(len(names))]
    parts = assign_parts(labels, groups, orders, np.array(quotas), rng)
    return [TEST if part == 0 else TRAIN for part in parts]
