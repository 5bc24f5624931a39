"""The settings `optim.*` and `loss.*`."""

from dataclasses import dataclass

from vit_keras.validators import setting


@dataclass
class OptimConfig:
    """Optimizer and learning-rate schedule."""

    name: str = setting(
        "adamw",
        "Optimizer; muon orthogonalises the updates of the encoder blocks' kernels and leaves the "
        "rest to adamw.",
        choices=("adamw", "adam", "sgd", "lion", "muon"),
        label="Optimizer",
    )
    learning_rate: float = setting(
        1e-3, "Peak learning rate, reached after the warm-up.", above=0, usual_at_most=10
    )
    warmup_ratio: float = setting(
        0.0,
        "Fraction of all steps with a learning rate that rises linearly from 0.",
        at_least=0,
        at_most=0.9,
        label="Warm-up fraction",
        step=0.01,
    )
    final_lr_fraction: float = setting(
        0.0,
        "Learning rate at the end of the decay, as a fraction of the peak.",
        at_least=0,
        at_most=1,
        label="Final learning rate, fraction of peak",
    )
    weight_decay: float = setting(
        0.0, "Decoupled weight decay of kernels.", at_least=0, usual_at_most=10
    )
    momentum: float = setting(0.9, "Momentum of sgd and muon.", at_least=0, at_most=0.9999)
    beta_1: float = setting(
        0.9,
        "Decay rate of the first moment of adam, adamw and muon's adamw; of lion's update.",
        at_least=0,
        at_most=0.9999,
        label="Beta 1",
    )
    beta_2: float = setting(
        0.999,
        "Decay rate of the second moment of adam, adamw and muon's adamw, and of lion's momentum.",
        at_least=0,
        at_most=0.999999,
        label="Beta 2",
    )
    clip_norm: float | None = setting(
        None,
        "Largest norm of all gradients together; larger ones are scaled down.",
        above=0,
        label="Gradient clipping norm",
        unset="off",
    )
    label_smoothing: float = setting(
        0.0, "Label smoothing of the training targets.", at_least=0, at_most=0.9, step=0.01
    )
    ema_momentum: float | None = setting(
        None,
        "Momentum of the exponential moving average of the weights, such as 0.999.",
        above=0,
        at_most=0.999999,
        label="EMA momentum",
        unset="off",
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
        label="Schedule counts",
    )
    schedule: str = setting(
        "cosine",
        "How the learning rate goes on after the warm-up: down as a cosine, linearly, first at "
        "the peak and then linearly (wsd), or constant at the peak.",
        choices=("cosine", "linear", "wsd", "constant"),
        label="Learning-rate schedule",
    )
    decay_ratio: float = setting(
        0.2,
        "Fraction of all steps in which wsd decays, at the end.",
        above=0,
        at_most=1,
        label="Decay fraction of wsd",
        step=0.01,
    )
    schedule_scope: str = setting(
        "stage",
        "What a learning-rate schedule spans: each stage has its own (stage), or one, with one "
        "warm-up and one decay, spans all stages (run).",
        choices=("stage", "run"),
    )
    scale_rate: str = setting(
        "none",
        # Goyal et al. 2017, "Accurate, large minibatch SGD"; Krizhevsky 2014, "One weird trick".
        "Peak learning rates are meant for 256 images per update, and multiplied by the images per "
        "update / 256 (linear), which suits SGD, or its square root (sqrt), which suits Adam and "
        "AdamW; none takes them as they are.",
        choices=("none", "linear", "sqrt"),
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
        label="Loss",
    )
    gamma: float = setting(
        2.0,
        "Focusing parameter of focal and asymmetric: the higher, the less does count what is "
        "predicted well; focal with 0 is the cross-entropy.",
        at_least=0,
        label="Focusing parameter",
    )
    margin: float = setting(
        0.05,
        # Ridnik et al. 2021, "Asymmetric loss for multi-label classification".
        "Probability below which asymmetric does not count a label that an image does not have.",
        at_least=0,
        below=1,
        label="Margin of asymmetric",
    )
