"""What to train on given images: a recipe and its length, with the reasons.

    found = recommend(["data=folder", "data.path=photos"])
    print(found)  # 75 images of 3 classes: start from pretrained weights, 30 epochs, about a minute

Imports no Keras and opens no image file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import vit_keras
from vit_keras.config.compose import compose
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import Config, DataConfig
from vit_keras.data import registry, splits
from vit_keras.text import counted
from vit_keras.training import rough_time

# Recipes of known data sets, whose results are in their comments.
KNOWN = {
    "digits": "digits",
    "mnist": "mnist",
    "cifar10": "cifar10_ten_minutes",
}
EMBEDDED = Path("saved_models/cifar10_hour")  # the pretrained model that needs no download
# Images to train on, from which a model of one's own is trained from scratch: recipe=folder reached
# 0.9706 with 1,483. Of fewer, nothing was measured between these and the 54 of finetune_photos.
MANY = 1400
SHOWN = 90_000  # images that a model sees from scratch: 60 epochs of 1,483
MIN_EPOCHS = 10
MAX_SMALL, SMALL_PATCH = 48, 4  # pixels of a side, and of the patches of recipe=cifar10_small
SMALL_BATCH, FEW = 8, 100  # up to so many images to train on
WHY_PRETRAINED = (
    "So few images do not suffice to learn from scratch what a ViT learns from many (Dosovitskiy "
    "et al. 2021, section 4.3; Steiner et al. 2022, section 4.2). Fine-tuned from the model of "
    "the repository, 54 photos of three classes reached 0.98 (recipe=finetune_photos)."
)
WHY_SCRATCH = (
    "So many images suffice to train a small ViT from scratch: 1,483 photos of ten classes reached "
    "0.97 in 60 epochs (recipe=folder). The more images, the fewer epochs show it as many."
)
BACKBONE = (
    "With a network, a model that has seen more is better still: recipe=finetune_folder downloads "
    "one."
)


@dataclass(frozen=True)
class Recommendation:
    """A training to begin with.

    Attributes:
        command: train or finetune.
        words: the overrides of that command, the data among them.
        images: of the data set, all splits together.
        train_images: of them, those to train on.
        classes: their number.
        is_pretrained: whether it starts from pretrained weights.
        epochs: of all stages.
        reasons: whole sentences.
        seconds: about how long it takes; None where that is not known without a try.
    """

    command: str
    words: tuple[str, ...]
    images: int
    train_images: int
    classes: int
    is_pretrained: bool
    epochs: int
    reasons: tuple[str, ...]
    seconds: float | None

    def __str__(self) -> str:
        start = "pretrained weights" if self.is_pretrained else "scratch"
        text = (
            f"{counted(self.images, 'image[s]')} of {counted(self.classes, 'class[es]')}: start "
            f"from {start}, {counted(self.epochs, 'epoch[s]')}"
        )
        return text if self.seconds is None else f"{text}, {rough_time.in_words(self.seconds)}"


def recommend(overrides: Sequence[str]) -> Recommendation:
    """What to train on the data that overrides name, such as `["data=folder", "data.path=x"]`.

    Raises:
        SettingError: the data set is absent, or not downloaded yet, or its path is wrong.
    """
    config = compose(*overrides)
    counts = registry.image_counts(config.data)
    assert counts is not None, "only with data.download=true"
    train_images = splits.train_image_count(config.data, counts)
    names = splits.class_names(config.data)
    choose = _known if config.data.name in KNOWN else _own
    command, words, is_pretrained, reasons = choose(config, train_images)
    words = (*words[:1], *_data_words(words[0], overrides), *words[1:])
    chosen = compose(*words)
    stages = [stage.epochs for stage in chosen.stages.values()]
    return Recommendation(
        command,
        words,
        sum(counts.values()),
        train_images,
        len(names) if names else splits.class_count(config.data),
        is_pretrained,
        sum(stages) if stages else int(chosen.train.epochs or 0),
        reasons,
        rough_time.rough_seconds(chosen, train_images),
    )


def embedded_model() -> Path | None:
    """The pretrained model that comes with the code; None where it was installed without it."""
    places = (EMBEDDED, Path(vit_keras.__file__).parents[1] / EMBEDDED)
    return next((place for place in places if (place / "best.keras").is_file()), None)


Choice = tuple[str, tuple[str, ...], bool, tuple[str, ...]]  # command, words, pretrained, reasons


def _known(config: Config, train_images: int) -> Choice:
    name = config.data.name
    reason = f"The recipe {KNOWN[name]} is written for {name}; its file says what it reached."
    return "train", (f"recipe={KNOWN[name]}",), False, (reason,)


def _own(config: Config, train_images: int) -> Choice:
    if train_images >= MANY or not _fits(config.data):
        epochs = max(MIN_EPOCHS, min(60, round(SHOWN / train_images)))
        recipe = _scratch_recipe(config.data)
        length = () if compose(recipe).train.epochs == epochs else (f"train.epochs={epochs}",)
        return "train", (recipe, *length, *_batch(train_images)), False, (WHY_SCRATCH,)
    embedded = embedded_model()
    if embedded is None:
        return "finetune", ("recipe=finetune_folder",), True, (WHY_PRETRAINED,)
    handle = () if embedded == EMBEDDED else (f"pretrained.handle={quote_override(embedded)}",)
    words = ("recipe=finetune_photos", *handle, *_batch(train_images))
    return "finetune", words, True, (WHY_PRETRAINED, BACKBONE)


def _scratch_recipe(data: DataConfig) -> str:
    """That of small images for those of a data set that has such, and that of photos for others."""
    if data.name in registry.OF_PATH:
        return "recipe=folder"
    size = registry.dataset_info(data).size
    is_small = max(size) <= MAX_SMALL and not any(side % SMALL_PATCH for side in size)
    return "recipe=cifar10_small" if is_small else "recipe=folder"


def _fits(data: DataConfig) -> bool:
    """Whether the images are what the embedded model takes: 8-bit colour or grey."""
    return data.value_range is None and data.channels in (None, 1, 3)


def _batch(train_images: int) -> tuple[str, ...]:
    """Smaller batches of few images, so that an epoch has several steps."""
    return (f"train.batch_size={SMALL_BATCH}",) if train_images <= FEW else ()


def _data_words(recipe: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides without the data set that the recipe has already."""
    own = f"data={compose(recipe).data.name}"
    path = compose(*overrides).data.path
    return tuple(
        f"data.path={quote_override(path)}" if word.startswith("data.path=") else word
        for word in overrides
        if word != own
    )
