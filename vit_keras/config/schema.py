"""The settings of a run: type, default, bounds, choices and help of each, in one place.

The dataclasses are Hydra's schema; `conf/` holds named groups of values. The field `learning_rate`
of `OptimConfig` is `optim.learning_rate=3e-4` on a command line. None means "as the data set, the
variant or the machine has it".
"""

import typing
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass, replace
from typing import Any

from vit_keras.model.architecture import RATES, VARIANTS, Architecture
from vit_keras.validators import field_types, setting

MAX_EPOCHS = 1_000_000  # a schedule counts their steps in 64 bits
# The strengths in `augment.color_jitter`, in order, with the largest of each.
JITTER = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5}
GROUP_DUPLICATES = ("equal", "near", "none")
CLASSIFICATION, MULTILABEL = TASKS = ("classification", "multilabel")


@dataclass
class DataConfig:
    """Which images, and how many of them."""

    name: str = setting(
        "digits",
        "Data set: digits (scikit-learn), folder, csv or npz (at data.path), arrays (given to "
        "train_model), or any image classification set of TFDS, such as cifar10, "
        "fashion_mnist:3.0.1 or imagenette/160px-v2.",
    )
    path: str | None = setting(
        None,
        "A folder with one sub-folder per class, or with train, val and test folders of such; a "
        "table of images and labels; or an npz file.",
    )
    image_column: str | None = setting(
        None, "Column of a table with the paths of the images; found by its name unless set."
    )
    label_column: str | None = setting(
        None, "Column of a table with the labels; found by its name unless set."
    )
    label_separator: str | None = setting(
        None,
        "With task=multilabel, the text between the labels in a cell of a table; unless set, the "
        "first of ; | and , that is in any of them.",
    )
    several_labels: bool = setting(
        False, "Images have any number of labels each; task=multilabel sets it, and needs it."
    )
    split_column: str | None = setting(
        None,
        "Column of a table that says train, val or test; unless set, one named split, subset or "
        "partition, and if there is none, or with none, splits are drawn.",
    )
    group_column: str | None = setting(
        None,
        "Column of a table that says which images belong together, such as those of a patient, a "
        "camera or a burst: they stay in one split, and in one fold.",
    )
    tfds_dir: str | None = setting(
        None, "Where TensorFlow Datasets keeps its sets; TFDS_DATA_DIR unless set."
    )
    download: bool = setting(False, "Download the data set if it is not there.")
    image_size: Any = setting(
        None, "Side in pixels, or [height, width]; the data set's own unless set."
    )
    classes: list[Any] | None = setting(
        None, "Names or numbers of the classes to keep, relabelled 0, 1, ..."
    )
    limit: int | None = setting(
        None, "Largest number of images of the training and of the test split.", at_least=1
    )
    train_limit: int | None = setting(
        None, "Largest number of training images, validation images included.", at_least=1
    )
    validation_fraction: float = setting(
        0.1,
        "Fraction of the training split that is held out for validation, stratified by class.",
        above=0,
        at_most=0.9,
    )
    fold: str | None = setting(
        None,
        "Validate on one fold of the training images and train on the others: 2/5 is the second of "
        "five, stratified by class. Set by train.folds for each of its runs.",
    )
    group_duplicates: str = setting(
        "equal",
        "Which images stay together when a validation or test split is drawn: those that are "
        "equal, near-duplicates too (near; for photos), or none.",
        choices=GROUP_DUPLICATES,
    )
    prefetch: int = setting(4, "Batches that are prepared ahead of the device.", at_least=1)
    resize_mode: str = setting(
        "crop",
        "How images of another shape come to image_size: resized and cropped (crop), stretched, "
        "or resized and padded (pad).",
        choices=("crop", "stretch", "pad"),
    )
    background: str = setting(
        "auto",
        "What transparent images are composited over: white, black, a checkerboard (checker), or "
        "white except for images too bright to be seen on it (auto).",
        choices=("auto", "white", "black", "checker"),
    )
    bit_depth: int | None = setting(
        None,
        "Bits that samples of 16 bits use, where a file does not say; unless set, as many as hold "
        "the largest value of the data set, and kept with the run.",
        at_least=1,
        at_most=16,
    )
    value_range: Any = setting(
        None,
        "Stored values that become black and white, [low, high], in full depth: for images of more "
        "than 8 bits, floats, DICOM and NumPy files. auto takes what is known of them, percentile "
        "0.5% and 99.5% of the training images, and window each DICOM file's own. Unless set, "
        "images have 256 levels.",
    )
    channels: int | None = setting(
        None,
        "Channels of the images, such as 1 or 5, of files where data.value_range is set, or of "
        "arrays; unless set, 3 of files, and 1, 3 or 4 of arrays.",
        at_least=1,
        at_most=256,
    )
    decoder_version: int = setting(
        2,
        "How files become pixels: 2, or 1 for what runs of version 0.1 were trained on, without "
        "ICC profiles and with the upper eight of 16 bits.",
        at_least=1,
        at_most=2,
    )
    on_bad_file: str = setting(
        "skip",
        "What to do about images of a folder or a table that cannot be read.",
        choices=("skip", "fail"),
    )
    follow_links: bool = setting(
        False, "Follow links, and paths of a table, that lead out of the folder."
    )
    cache_mb: int = setting(
        2048,
        "Images of a folder are decoded once and kept in memory if they take no more than this "
        "many MB.",
        at_least=0,
    )
    device_resident: Any = setting(
        "auto",
        "Keep all training images in the memory of the device, and gather batches there: where "
        "they take at most half of a GPU's free memory (auto), always (true) or never (false).",
        choices=("auto", "true", "false"),
    )
    workers: int | None = setting(
        None,
        "Threads that decode the images of a folder; the number of cores unless set.",
        at_least=1,
        at_most=256,
    )
    layout: Any = setting(
        "auto",
        "How the sub-folders of a folder are read: by their names (auto), each as a class "
        "(classes), by the exact names train, val, valid, validation and test (literal), or "
        "{train: <folder>, validation: <folder>, test: <folder>}.",
    )
    missing_classes: str = setting(
        "refuse",
        "What to do if the validation or test folder, or the data of an evaluation, lack a class.",
        choices=("refuse", "allow"),
    )
    suffixes: list[str] | None = setting(
        None,
        "Endings of the files of a folder to read, such as [.jpg,.png]; whatever is an image by "
        "its content unless set.",
    )
    sampling: str = setting(
        "none",
        "Which images an epoch trains on: each once (none), as many of every class (balanced), or "
        "of a class in proportion to the square root of its images (sqrt). An epoch keeps its "
        "length.",
        choices=("none", "balanced", "sqrt"),
    )


def _model_options() -> list[tuple[str, Any, Any]]:
    """Each field of `Architecture` as a setting: (name, type, field).

    A setting is None where the variant or the pretrained file decides; rates have a default, which
    no variant changes. OmegaConf has no type for "a number or a list of numbers".
    """
    options = []
    for item in fields(Architecture):
        kind, _ = field_types(Architecture)[item.name]
        is_rate = item.name in RATES
        if kind in (int, float, str, bool):
            kind = kind if is_rate else typing.Optional[kind]  # noqa: UP045
        else:
            kind = Any
        default = item.default if is_rate else None
        options.append((item.name, kind, field(default=default, metadata=item.metadata)))
    return options


_VARIANT = setting(
    None, "A known architecture; unless set, every size has to be set.", choices=VARIANTS
)
_ModelOptions: Any = make_dataclass(
    "_ModelOptions",
    [("variant", typing.Optional[str], _VARIANT), *_model_options()],  # noqa: UP045
)


@dataclass
class ModelConfig(_ModelOptions):
    """Which ViT: a variant, and the options of `Architecture` that differ from it.

    None is as the pretrained file has it, or else the variant, or else the paper.
    """


@dataclass
class PretrainedConfig:
    """Which trained ViT to start from, if any; its file decides the architecture."""

    handle: str | None = setting(
        None, "A path, an address on Kaggle or tfhub.dev, or a Hugging Face id."
    )
    load_weights: bool = setting(
        True, "Load the file's weights; false trains the same architecture from fresh ones."
    )
    wrap_saved_model: bool = setting(
        False, "Wrap a SavedModel as one trainable layer even if its weights can be converted."
    )
    train_all: bool = setting(
        False, "Of a wrapped SavedModel, also train variables that were saved as not trainable."
    )
    ignore_weights: list[str] = setting(
        list, "Patterns of weight names in the file that may be left unused."
    )
    baseline: bool = setting(
        False, "Afterwards train the same model from fresh weights, for comparison."
    )


@dataclass
class StageConfig:
    """One stage of a fine-tuning: `stages.<name>`."""

    trainable: Any = setting(
        "all",
        "Which layers are trained: head, all, lora, or {last: n}, the head and the last n blocks.",
    )
    epochs: int = setting(10, "Number of epochs.", at_least=1, at_most=MAX_EPOCHS)
    learning_rate: float | None = setting(
        None, "Peak learning rate; optim.learning_rate unless set.", above=0
    )
    warmup_ratio: float | None = setting(
        None,
        "Fraction of the stage's steps with a rising learning rate; optim.warmup_ratio unless set.",
        at_least=0,
        at_most=0.9,
    )
    layer_decay: float = setting(
        1.0,
        "Learning rate of each layer as a fraction of that of the layer above.",
        above=0,
        at_most=1,
    )
    lora_rank: int = setting(8, "Rank of the low-rank additions of LoRA.", at_least=1)
    image_size: Any = setting(
        None,
        "Side in pixels, or [height, width], of the images that the stage trains on, for "
        "progressive resolution; the model's own unless set, which validation always has.",
    )
    augment: bool = setting(
        True, "Apply augmentation; false in a head stage computes the backbone's features once."
    )


@dataclass
class AugmentConfig:
    """Augmentation of a training batch on the device, in this order except that colors go first."""

    crop_padding: int = setting(
        0, "Pixels of padding before a random crop back to the image's size.", at_least=0
    )
    flip: Any = setting(
        False,
        # Jordan 2024, for `alternating`.
        "Flip images left to right: a random half of each batch (true), or each image in every "
        "second epoch, a random half of them first (alternating).",
        choices=("false", "true", "alternating"),
    )
    resized_crop: list[float] | None = setting(
        None, "Random resized crop of [smallest, largest] fraction of the area."
    )
    color_jitter: list[float] | None = setting(
        None, "Strengths of the jitter of [brightness, contrast, saturation, hue]."
    )
    policy: str = setting(
        "none",
        "Augmentation policy; three_augment is that of DeiT III.",
        choices=("none", "randaugment", "trivial_augment", "autoaugment_cifar10", "three_augment"),
    )
    policy_ops: int = setting(2, "RandAugment's number of operations.", at_least=1, at_most=8)
    policy_magnitude: int = setting(9, "RandAugment's magnitude.", at_least=0, at_most=30)
    random_erasing: float = setting(
        0.0, "Probability that a box of an image is replaced by noise.", at_least=0, at_most=1
    )
    mixup: float = setting(
        0.0, "Alpha of MixUp; 0 is off. With CutMix on too, a batch gets one of them.", at_least=0
    )
    cutmix: float = setting(0.0, "Alpha of CutMix; 0 is off.", at_least=0)
    mix_probability: float = setting(
        1.0, "Probability that a batch is mixed at all.", at_least=0, at_most=1
    )
    repeated_augmentation: int = setting(
        1,
        # Hoffer et al. 2020, "Augment your batch".
        "Copies of each image in a batch, each augmented differently.",
        at_least=1,
    )


@dataclass
class OptimConfig:
    """Optimizer and learning-rate schedule."""

    name: str = setting(
        "adamw",
        "Optimizer; muon orthogonalises the updates of the encoder blocks' kernels and leaves the "
        "rest to adamw.",
        choices=("adamw", "adam", "sgd", "lion", "muon"),
    )
    learning_rate: float = setting(1e-3, "Peak learning rate, reached after the warm-up.", above=0)
    warmup_ratio: float = setting(
        0.0,
        "Fraction of all steps with a learning rate that rises linearly from 0.",
        at_least=0,
        at_most=0.9,
    )
    final_lr_fraction: float = setting(
        0.0,
        "Learning rate at the end of the decay, as a fraction of the peak.",
        at_least=0,
        at_most=1,
    )
    weight_decay: float = setting(0.0, "Decoupled weight decay of kernels.", at_least=0)
    momentum: float = setting(0.9, "Momentum of sgd and muon.", at_least=0, at_most=0.9999)
    beta_1: float = setting(
        0.9,
        "Decay rate of the first moment of adam, adamw and muon's adamw; of lion's update.",
        at_least=0,
        at_most=0.9999,
    )
    beta_2: float = setting(
        0.999,
        "Decay rate of the second moment of adam, adamw and muon's adamw, and of lion's momentum.",
        at_least=0,
        at_most=0.999999,
    )
    clip_norm: float | None = setting(
        None, "Largest norm of all gradients together; larger ones are scaled down.", above=0
    )
    label_smoothing: float = setting(
        0.0, "Label smoothing of the training targets.", at_least=0, at_most=0.9
    )
    ema_momentum: float | None = setting(
        None,
        "Momentum of the exponential moving average of the weights, such as 0.999.",
        above=0,
        at_most=0.999999,
    )
    gradient_accumulation_steps: int = setting(
        1, "Number of batches per update of the weights.", at_least=1
    )
    step_unit: str = setting(
        "update",
        "What the learning-rate schedule and the moving average count under gradient "
        "accumulation: updates of the weights, of which an epoch then has a whole number; or "
        "batches, as before version 0.2.",
        choices=("update", "batch"),
    )
    schedule: str = setting(
        "cosine",
        "How the learning rate goes on after the warm-up: down as a cosine, linearly, first at "
        "the peak and then linearly (wsd), or constant at the peak.",
        choices=("cosine", "linear", "wsd", "constant"),
    )
    decay_ratio: float = setting(
        0.2, "Fraction of all steps in which wsd decays, at the end.", above=0, at_most=1
    )
    schedule_scope: str = setting(
        "stage",
        "What a learning-rate schedule spans: each stage has its own (stage), or one, with one "
        "warm-up and one decay, spans all stages (run).",
        choices=("stage", "run"),
    )


@dataclass
class LossConfig:
    """What the training minimises; `training/loss.py` makes one of Keras' losses of it."""

    name: str = setting(
        "cross_entropy",
        # Lin et al. 2017, "Focal loss for dense object detection".
        "Loss: cross_entropy, binary with task=multilabel; focal, which gives images that are "
        "predicted well less weight; or, with task=multilabel, asymmetric, which does so with the "
        "labels that an image does not have.",
        choices=("cross_entropy", "focal", "asymmetric"),
    )
    gamma: float = setting(
        2.0,
        "Focusing parameter of focal and asymmetric: the higher, the less does count what is "
        "predicted well; focal with 0 is the cross-entropy.",
        at_least=0,
    )
    margin: float = setting(
        0.05,
        # Ridnik et al. 2021, "Asymmetric loss for multi-label classification".
        "Probability below which asymmetric does not count a label that an image does not have.",
        at_least=0,
        below=1,
    )


@dataclass
class TrainConfig:
    """How long to train, on what, and in which precision."""

    epochs: int | None = setting(
        10,
        "Number of epochs; null with stages, which have their own.",
        at_least=1,
        at_most=MAX_EPOCHS,
    )
    batch_size: Any = setting(
        128,
        "Images per batch; with auto, train.autotune measures the smallest power of two, from 32 "
        "on, that trains about as fast as larger ones.",
        words=("auto",),
        at_least=1,
    )
    seed: int = setting(
        0, "Seed of the weights, the data order and augmentation.", at_least=0, at_most=2**32 - 1
    )
    precision: str = setting(
        "auto",
        "Precision of the computation; auto is the fastest that train.autotune measures, or else "
        "as the device suggests.",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit_compile: Any = setting(
        "auto",
        "Compile the training step with XLA: all of it (true), nothing (false), or GELU and layer "
        "normalisations alone (layers); auto is the fastest that train.autotune measures, or else "
        "true wherever it is possible.",
        choices=("auto", "true", "false", "layers"),
    )
    autotune: bool = setting(
        True,
        "Before a training of more than a few minutes, time the training step to decide what is "
        "auto of train.precision, train.jit_compile and train.batch_size; the run keeps it.",
    )
    steps_per_execution: Any = setting(
        1,
        "Training steps in a call of the compiled function, or the largest smaller number that "
        "divides the batches of an epoch: more than 1 saves the time between short steps on a GPU; "
        "auto is 32 on a GPU and 1 on a CPU.",
        words=("auto",),
        at_least=1,
    )
    early_stopping: int | None = setting(
        None, "Stop after this many epochs without a better value of train.monitor.", at_least=1
    )
    tensorboard: bool = setting(False, "Write logs for TensorBoard to <run>/tensorboard.")
    overfit_batches: int | None = setting(
        None,
        "For debugging: train on this many batches without regularisation, until overfitted.",
        at_least=1,
    )
    limit_train_batches: int | None = setting(
        None, "For a trial: the largest number of batches per epoch.", at_least=1
    )
    sample_predictions: int = setting(
        0,
        "Number of validation images whose predictions are saved after each epoch.",
        at_least=0,
        at_most=64,
    )
    export: Any = setting(
        False,
        "Formats that the best model is exported to at the end: true (ONNX, by which predictions "
        "need no Keras), or a list such as [onnx,litert].",
    )
    schedule_epochs: list[int] = setting(
        list,
        "Epochs of each learning-rate schedule in turn; those of train.epochs after them have "
        "another. Resuming with other train.epochs sets it.",
    )
    monitor: str = setting(
        "val_accuracy",
        "The score of the validation images that decides which model is the best, when a stage "
        "stops early, and what a search looks for.",
        choices=("val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss"),
    )
    class_weight: Any = setting(
        "none",
        "Weights of the classes in the training loss: none, balanced (n / (K n_c), as in "
        "scikit-learn), effective (by the effective number of samples), or {name: weight}, with 1 "
        "for the others.",
    )
    class_weight_beta: float = setting(
        0.999,
        # Cui et al. 2019, "Class-balanced loss based on effective number of samples".
        "Beta of train.class_weight=effective: 0 is none, and the nearer to 1, the nearer to "
        "balanced.",
        at_least=0,
        below=1,
    )
    folds: int | None = setting(
        None,
        "Train as many runs, each validated on another part of the training images, and write the "
        "mean of their accuracies, predictions of every image and their ensemble.",
        at_least=2,
        at_most=100,
    )


@dataclass
class RunConfig:
    """Where everything is written."""

    root: str = setting("saved_models", "Folder in which new run directories are made.")
    dir: str | None = setting(None, "The run directory itself, instead of a new one in run.root.")
    resume: str | None = setting(None, "The run directory to resume; its settings are kept.")


@dataclass
class Config:
    """All settings of one run."""

    name: str = setting(
        "custom", "The recipe's name, and the first part of the run directory's name."
    )
    task: str = setting(
        CLASSIFICATION,
        "What is predicted of an image: its class, or any number of labels (multilabel), each by a "
        "probability of its own.",
        choices=TASKS,
    )
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    pretrained: PretrainedConfig = field(default_factory=PretrainedConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, StageConfig] = setting(
        dict, "The stages of a fine-tuning, in order; without any, all layers train at once."
    )
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        # Data are read by their own settings alone.
        if self.task == MULTILABEL:
            self.data = replace(self.data, several_labels=True)


def setting_names(schema: Any = Config, prefix: str = "") -> list[str]:
    """Every dotted name that can be set: `data.name`, `optim.learning_rate`, ..."""
    names = []
    for item in fields(schema):
        group = item.default_factory if is_dataclass(item.default_factory) else None
        names += setting_names(group, f"{item.name}.") if group else [prefix + item.name]
    return names


def register() -> None:
    """Register with Hydra the schema that `conf/config.yaml` starts from, and that of a stage."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    ConfigStore.instance().store(group="stage", name="new", node=StageConfig)
