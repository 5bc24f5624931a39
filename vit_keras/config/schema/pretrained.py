"""The settings `pretrained.*`."""

from dataclasses import dataclass

from vit_keras.validators import setting


@dataclass
class PretrainedConfig:
    """Which trained ViT to start from, if any; its file decides the architecture."""

    handle: str | None = setting(
        None,
        "A path, an address on Kaggle or tfhub.dev, a Hugging Face id, or the short name of a "
        "backbone, such as dinov2_s14.",
        label="Pretrained model",
        unset="none",
    )
    load_weights: bool = setting(
        True, "Load the file's weights; false trains the same architecture from fresh ones."
    )
    wrap_saved_model: bool = setting(
        False,
        "Wrap a SavedModel as one trainable layer even if its weights can be converted.",
        label="Wrap the SavedModel",
    )
    train_all: bool = setting(
        False,
        "Of a wrapped SavedModel, also train variables that were saved as not trainable.",
        label="Train all its variables",
    )
    ignore_weights: list[str] = setting(
        list,
        "Patterns of weight names in the file that may be left unused.",
        label="Weights left unused",
    )
    prompts: int = setting(
        0,
        # Jia et al. 2022, "Visual prompt tuning"; the shallow kind.
        "Number of prompts: learned tokens that are added beside the patches, as register tokens, "
        "and trained in stages with trainable=prompt or all.",
        at_least=0,
        label="Prompt tokens",
    )
    baseline: bool = setting(
        False,
        "Afterwards train the same model from fresh weights, for comparison.",
        label="Baseline from scratch",
    )
