"""The settings `train.*`, and those of a stage of a fine-tuning."""

from dataclasses import dataclass
from typing import Any

from vit_keras.validators import setting

MAX_EPOCHS = 1_000_000  # a schedule counts their steps in 64 bits


@dataclass
class TrainConfig:
    """How long to train, on what, and in which precision."""

    epochs: int | None = setting(
        10,
        "Number of epochs; null with stages, which have their own.",
        at_least=1,
        at_most=MAX_EPOCHS,
        unset="those of the stages",
    )
    batch_size: Any = setting(
        128,
        "Images per batch; with auto, train.autotune measures the smallest power of two, from 32 "
        "on, that trains about as fast as larger ones.",
        words=("auto",),
        at_least=1,
    )
    seed: int = setting(
        0,
        "Seed of the weights, the data order and augmentation.",
        at_least=0,
        at_most=2**32 - 1,
        label="Random seed",
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
        label="XLA compilation",
    )
    autotune: bool = setting(
        True,
        "Before a training of more than a few minutes, time the training step to decide what is "
        "auto of train.precision, train.jit_compile and train.batch_size; the run keeps it.",
        label="Time the step before training",
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
        None,
        "Stop after this many epochs without a better value of train.monitor.",
        at_least=1,
        label="Early stopping patience",
        unit="epochs",
        unset="off",
    )
    tensorboard: bool = setting(
        False, "Write logs for TensorBoard to <run>/tensorboard.", label="TensorBoard logs"
    )
    overfit_batches: int | None = setting(
        None,
        "For debugging: train on this many batches without regularisation, until overfitted.",
        at_least=1,
        label="Overfit batches (debugging)",
        unset="off",
    )
    limit_train_batches: int | None = setting(
        None,
        "For a trial: the largest number of batches per epoch.",
        at_least=1,
        label="Batches per epoch at most",
        unset="all",
    )
    sample_predictions: int = setting(
        0,
        "Number of validation images whose predictions are saved after each epoch.",
        at_least=0,
        at_most=64,
        label="Validation images to show",
    )
    export: Any = setting(
        False,
        "Formats that the best model is exported to at the end: true (ONNX, by which predictions "
        "need no Keras), or a list such as [onnx,litert].",
        label="Export at the end",
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
        label="Best model by",
    )
    class_weight: Any = setting(
        "none",
        "Weights of the classes in the training loss: none, balanced (n / (K n_c), as in "
        "scikit-learn), effective (by the effective number of samples), or {name: weight}, with 1 "
        "for the others. With task=multilabel, of the labels that images have.",
        label="Class weights",
    )
    class_weight_beta: float = setting(
        0.999,
        # Cui et al. 2019, "Class-balanced loss based on effective number of samples".
        "Beta of train.class_weight=effective: 0 is none, and the nearer to 1, the nearer to "
        "balanced.",
        at_least=0,
        below=1,
        label="Beta of effective weights",
    )
    folds: int | None = setting(
        None,
        "Train as many runs, each validated on another part of the training images, and write the "
        "mean of their accuracies, predictions of every image and their ensemble.",
        at_least=2,
        at_most=100,
        label="Cross-validation folds",
        unset="off",
    )
    teacher: str | None = setting(
        None,
        # Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network".
        "Knowledge distillation: a run directory, or a pretrained model with a head, of the same "
        "classes, whose softened probabilities are learned beside the labels.",
        label="Distillation teacher",
        unset="none",
    )
    teacher_temperature: float = setting(
        2.0,
        "Temperature that softens the probabilities of train.teacher and of the model that it "
        "teaches.",
        above=0,
    )
    teacher_weight: float = setting(
        0.5,
        "Share of the training loss that train.teacher has; the labels have the rest.",
        above=0,
        at_most=1,
        step=0.01,
    )
    teacher_labels: str = setting(
        "auto",
        # Touvron et al. 2021, table 3: the distillation token was best with hard labels.
        "What train.teacher teaches: its softened probabilities (soft), or its most probable class "
        "(hard); auto is hard with a distillation token, and soft without one.",
        choices=("auto", "soft", "hard"),
    )


@dataclass
class StageConfig:
    """One stage of a fine-tuning: `stages.<name>`."""

    trainable: Any = setting(
        "all",
        "What is trained: head, all, {last: n} (the head and the last n blocks), or the head and "
        "all biases (bias), all layer normalisations (norm), prompts (prompt), or low-rank "
        "additions (lora).",
        label="What is trained",
    )
    epochs: int = setting(10, "Number of epochs.", at_least=1, at_most=MAX_EPOCHS)
    learning_rate: float | None = setting(
        None,
        "Peak learning rate; optim.learning_rate unless set.",
        above=0,
        usual_at_most=10,
        unset="of the optimizer",
    )
    warmup_ratio: float | None = setting(
        None,
        "Fraction of the stage's steps with a rising learning rate; optim.warmup_ratio unless set.",
        at_least=0,
        at_most=0.9,
        label="Warm-up fraction",
        unset="of the optimizer",
    )
    layer_decay: float = setting(
        1.0,
        "Learning rate of each layer as a fraction of that of the layer above.",
        above=0,
        at_most=1,
        label="Layer-wise decay",
    )
    lora_rank: int = setting(
        8, "Rank of the low-rank additions of LoRA.", at_least=1, label="LoRA rank"
    )
    image_size: Any = setting(
        None,
        "Side in pixels, or [height, width], of the images that the stage trains on, for "
        "progressive resolution; the model's own unless set, which validation always has.",
        unit="pixels",
        unset="of the model",
    )
    augment: bool = setting(
        True,
        "Apply augmentation; false in a head stage computes the backbone's features once.",
        label="Augmentation",
    )
