"""What can be chosen, typed, with its default.

The dataclasses are Hydra's schema; `conf/` holds the named choices, and `checks.py` says what
cannot work. A field `learning_rate` of `OptimConfig` is `optim.learning_rate=3e-4` on the command
line. None stands for "as the data set, the variant or the machine has it".
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from vit_keras.model.architecture import CHOICES as MODEL_CHOICES
from vit_keras.model.architecture import VARIANTS


@dataclass
class DataConfig:
    """Which images, and how many of them.

    `name` is `digits`, scikit-learn's; `folder`, a folder of images, and `npz`, a file of arrays,
    both at `path`; `arrays`, what a Python program gives to `train_model`; and any other name is
    that of an image classification set of TFDS: `cifar10`, `fashion_mnist:3.0.1`, or with a
    configuration, `imagenette/160px-v2`.
    """

    name: str = "digits"  # digits, folder, npz, arrays, or a set of TFDS
    path: str | None = None  # npz's file; or a folder of <class>/, or of {train,val,test}/<class>/
    tfds_dir: str | None = None  # where TFDS keeps its sets; TFDS_DATA_DIR unless given
    download: bool = False  # fetch the set when it is not there
    image_size: Any = None  # pixels of a side, or [height, width]; the set's own unless given
    classes: list[Any] | None = (
        None  # names or numbers of the classes to keep, relabelled 0, 1, ...
    )
    limit: int | None = None  # at most so many images of the training and of the test split
    train_limit: int | None = None  # at most so many of the training split, validation among them
    validation_fraction: float = 0.1  # carved out of the training split, stratified
    prefetch: int = 4  # batches made ready ahead of the device
    resize_mode: str = "crop"  # how images of many sizes come to image_size: crop, stretch or pad
    on_bad_file: str = "skip"  # a folder's files that are no images: skip or fail
    follow_links: bool = False  # also links that lead out of the folder
    cache_mb: int = 2048  # a folder's images up to so many MB are decoded once and held in memory
    workers: int | None = None  # threads that decode a folder's images; as many as there are cores


@dataclass
class ModelConfig:
    """Which ViT: a variant, and what differs from it (see `variants.Architecture`).

    None is as the pretrained file has it, or the variant, or the paper: the first that is named.
    """

    variant: str | None = None  # ti16 s16 b16 b32 l16 h14 tiny_mnist; none: give every size
    patch_size: int | None = None
    width: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    mlp_dim: int | None = None
    pool: str | None = None  # token, mean or map (attention with one learnt query)
    position: str | None = None  # learned, sincos2d, rope2d, rope_mixed or none
    gelu: str | None = None  # exact or tanh
    mlp: str | None = None  # gelu or swiglu; mlp_dim is as given for both
    parallel: bool | None = None  # attention and MLP of a block side by side
    qk_norm: bool | None = None  # normalise each head's queries and keys
    layer_scale: float | None = None  # what learnt factors of each branch begin at, such as 1e-5
    registers: int | None = None  # further learnt tokens, which no pooling reads
    stem: str | None = None  # patch or conv (depth stays as given)
    patch_dropout: float = 0.0  # share of the patches that training leaves out
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    norm_epsilon: float | None = None  # of every layer normalisation
    pixel_mean: Any = None  # one number or one per channel, in 0 to 1
    pixel_std: Any = None


@dataclass
class PretrainedConfig:
    """Which trained ViT to start from, if any; its file says the architecture."""

    handle: str | None = None  # a path, an address on Kaggle or tfhub.dev, a Hugging Face id
    load_weights: bool = True  # false: the same model with fresh weights
    wrap_saved_model: bool = False  # use a SavedModel whole even if it can be converted
    train_all: bool = False  # of one that is used whole, also what was saved as not trainable
    ignore_weights: list[str] = field(
        default_factory=list
    )  # names in the file that may be left out
    baseline: bool = False  # afterwards train the same model from fresh weights, to compare


@dataclass
class StageConfig:
    """A part of a fine-tuning: `stages.<name>`."""

    trainable: Any = "all"  # head, all, lora, or {last: n}: the head and the last n blocks
    epochs: int = 10
    learning_rate: float | None = None  # optim's unless given
    warmup_ratio: float | None = None  # optim's unless given; of this stage's steps
    layer_decay: float = 1.0  # the rate of each layer as a share of the one above
    lora_rank: int = 8
    augment: bool = True  # false in a head stage: the backbone's features are computed once


@dataclass
class AugmentConfig:
    """What happens to a training batch on the device, in this order but for colours, first."""

    crop_padding: int = 0  # pixels of padding before a random crop back to size
    flip: bool = False  # left and right, half of the images
    resized_crop: list[float] | None = None  # or a box with [least, most] share of the area
    color_jitter: list[float] | None = None  # of [brightness, contrast, saturation, hue]
    policy: str = "none"  # none, randaugment, trivial_augment, autoaugment_cifar10, three_augment
    policy_ops: int = 2  # randaugment's n
    policy_magnitude: int = 9  # randaugment's m, of 0 to 30
    random_erasing: float = 0.0  # probability that a box of an image is noise
    mixup: float = 0.0  # alpha; 0 is off. With both on, a batch gets either
    cutmix: float = 0.0  # alpha; 0 is off
    mix_probability: float = 1.0  # that a batch is mixed at all
    repeated_augmentation: int = (
        1  # of each image in a batch (Hoffer et al. 2020), each time drawn anew
    )


@dataclass
class OptimConfig:
    """How the weights move."""

    name: str = "adamw"  # adamw, adam or sgd
    learning_rate: float = 1e-3  # the peak, reached after the warm-up
    warmup_ratio: float = 0.0  # the share of all steps that the rate rises in, linearly, from 0
    final_lr_fraction: float = 0.0  # the cosine's end, as a fraction of the peak
    weight_decay: float = 0.0  # decoupled; on kernels alone
    momentum: float = 0.9  # sgd's
    beta_1: float = 0.9  # adam's and adamw's
    beta_2: float = 0.999
    clip_norm: float | None = None  # of all gradients together
    label_smoothing: float = 0.0
    ema_momentum: float | None = None  # momentum of the weights' average, such as 0.999
    gradient_accumulation_steps: int = 1  # batches per update of the weights


@dataclass
class TrainConfig:
    """How long, on what, and how exactly."""

    epochs: int | None = 10  # null with stages, which have their own
    batch_size: int = 128
    seed: int = 0
    precision: str = "auto"  # auto, float32, mixed_bfloat16 or mixed_float16
    jit_compile: Any = "auto"  # compile by XLA: auto (wherever it can be), true or false
    early_stopping: int | None = None  # epochs without a better validation accuracy
    tensorboard: bool = False  # log for TensorBoard under <run>/tensorboard
    overfit_batches: int | None = None  # to find a bug: train on so many batches, without changes
    limit_train_batches: int | None = None  # to try something out: at most so many batches an epoch
    sample_predictions: int = 0  # validation images whose predictions are kept after each epoch


@dataclass
class RunConfig:
    """Where everything is put."""

    root: str = "saved_models"
    dir: str | None = None  # exactly here, instead of a fresh folder under root
    resume: str | None = None  # go on with this run; its own settings hold


@dataclass
class Config:
    """One run, whole."""

    name: str = "custom"  # the recipe's, and the first part of the run directory's name
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    pretrained: PretrainedConfig = field(default_factory=PretrainedConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict)  # in order; none: all at once
    run: RunConfig = field(default_factory=RunConfig)


def setting_names(schema: Any = Config, prefix: str = "") -> list[str]:
    """Every dotted name that can be set: `data.name`, `optim.learning_rate`, ..."""
    names = []
    for item in fields(schema):
        group = item.default_factory if is_dataclass(item.default_factory) else None
        names += setting_names(group, f"{item.name}.") if group else [prefix + item.name]
    return names


def register() -> None:
    """Tell Hydra's ConfigStore the schema that `conf/config.yaml` starts from, and a stage's."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    ConfigStore.instance().store(group="stage", name="new", node=StageConfig)


POLICIES = ("none", "randaugment", "trivial_augment", "autoaugment_cifar10", "three_augment")
JITTER = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5}  # the most of each

# Setting -> the words that it may have.
CHOICES: dict[str, tuple[str, ...]] = {
    "data.resize_mode": ("crop", "stretch", "pad"),
    "data.on_bad_file": ("skip", "fail"),
    "model.variant": tuple(VARIANTS),
    **{f"model.{name}": allowed for name, allowed in MODEL_CHOICES.items()},
    "augment.policy": POLICIES,
    "optim.name": ("adamw", "adam", "sgd"),
    "train.precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "train.jit_compile": ("auto", "true", "false"),
}

MOST_EPOCHS = 1_000_000  # a schedule counts their steps in 64 bits
# Setting -> the smallest value, whether that value itself will do, and the largest (None: none).
RANGES: dict[str, tuple[float, bool, float | None]] = {
    "data.limit": (1, True, None),
    "data.train_limit": (1, True, None),
    "data.validation_fraction": (0, False, 0.9),
    "data.prefetch": (1, True, None),
    "data.cache_mb": (0, True, None),
    "data.workers": (1, True, 256),
    "augment.crop_padding": (0, True, None),
    "augment.policy_ops": (1, True, 8),
    "augment.policy_magnitude": (0, True, 30),
    "augment.random_erasing": (0, True, 1),
    "augment.mixup": (0, True, None),
    "augment.cutmix": (0, True, None),
    "augment.mix_probability": (0, True, 1),
    "augment.repeated_augmentation": (1, True, None),
    "optim.learning_rate": (0, False, None),
    "optim.warmup_ratio": (0, True, 0.9),
    "optim.final_lr_fraction": (0, True, 1),
    "optim.weight_decay": (0, True, None),
    "optim.momentum": (0, True, 0.9999),
    "optim.beta_1": (0, True, 0.9999),
    "optim.beta_2": (0, True, 0.999999),
    "optim.clip_norm": (0, False, None),
    "optim.label_smoothing": (0, True, 0.9),
    "optim.ema_momentum": (0, False, 0.999999),
    "optim.gradient_accumulation_steps": (1, True, None),
    "train.epochs": (1, True, MOST_EPOCHS),
    "train.batch_size": (1, True, None),
    "train.seed": (0, True, 2**32 - 1),
    "train.early_stopping": (1, True, None),
    "train.overfit_batches": (1, True, None),
    "train.limit_train_batches": (1, True, None),
    "train.sample_predictions": (0, True, 64),
}
STAGE_RANGES: dict[str, tuple[float, bool, float | None]] = {
    "epochs": (1, True, MOST_EPOCHS),
    "learning_rate": (0, False, None),
    "warmup_ratio": (0, True, 0.9),
    "layer_decay": (0, False, 1),
    "lora_rank": (1, True, None),
}
