"""The settings `data.*`."""

from dataclasses import dataclass
from typing import Any

from vit_keras.validators import setting

GROUP_DUPLICATES = ("equal", "near", "none")


@dataclass
class DataConfig:
    """Which images, and how many of them."""

    name: str = setting(
        "digits",
        "Data set: digits (scikit-learn), folder, csv, huggingface or npz (at data.path), arrays "
        "(given to train_model), or any image classification set of TFDS, such as cifar10, "
        "fashion_mnist:3.0.1 or imagenette/160px-v2.",
        label="Data set",
    )
    path: str | None = setting(
        None,
        "A folder with one sub-folder per class, or with train, val and test folders of such; a "
        "table of images and labels; Parquet files of images, or owner/name of a data set on "
        "huggingface.co; or an npz file.",
        unset="none",
    )
    image_column: str | None = setting(
        None,
        "Column of a table with the paths of the images, or of Parquet files with the images "
        "themselves; found by its name unless set.",
        unset="auto",
    )
    label_column: Any = setting(
        None,
        "Column of a table with the labels, or a list of columns of 0 and 1, one for each label; "
        "found by its name unless set.",
        unset="auto",
    )
    label_separator: str | None = setting(
        None,
        "With task=multilabel, the text between the labels in a cell of a table; unless set, the "
        "first of ; | and , that is in any of them.",
        unset="auto",
    )
    several_labels: bool = setting(
        False, "Images have any number of labels each; task=multilabel sets it, and needs it."
    )
    split_column: str | None = setting(
        None,
        "Column of a table that says train, val or test; unless set, one named split, subset or "
        "partition, and if there is none, or with none, splits are drawn.",
        unset="auto",
    )
    group_column: str | None = setting(
        None,
        "Column of a table that says which images belong together, such as those of a patient, a "
        "camera or a burst: they stay in one split, and in one fold.",
        unset="none",
    )
    tfds_dir: str | None = setting(
        None,
        "Where TensorFlow Datasets keeps its sets; TFDS_DATA_DIR unless set.",
        label="Folder of TensorFlow Datasets",
        unset="auto",
    )
    download: bool = setting(
        False, "Download the data set if it is not there.", label="Download the data set"
    )
    image_size: Any = setting(
        None,
        "Side in pixels, or [height, width]; the data set's own unless set.",
        unit="pixels",
        unset="auto",
    )
    classes: list[Any] | None = setting(
        None,
        "Names or numbers of the classes to keep, relabelled 0, 1, ...",
        label="Classes to keep",
        unset="all",
    )
    limit: int | None = setting(
        None,
        "Largest number of images of the training and of the test split.",
        at_least=1,
        label="Images at most",
        unset="all",
    )
    train_limit: int | None = setting(
        None,
        "Largest number of training images, validation images included.",
        at_least=1,
        label="Training images at most",
        unset="all",
    )
    validation_fraction: float = setting(
        0.1,
        "Fraction of the training split that is held out for validation, stratified by class.",
        above=0,
        at_most=0.9,
        step=0.01,
    )
    fold: str | None = setting(
        None,
        "Validate on one fold of the training images and train on the others: 2/5 is the second of "
        "five, stratified by class. Set by train.folds for each of its runs.",
        label="Validation fold",
        unset="none",
    )
    group_duplicates: str = setting(
        "equal",
        "Which images stay together when a validation or test split is drawn: those that are "
        "equal, near-duplicates too (near; for photos), or none.",
        choices=GROUP_DUPLICATES,
        label="Duplicates kept together",
    )
    prefetch: int = setting(
        4, "Batches that are prepared ahead of the device.", at_least=1, label="Prefetched batches"
    )
    resize_mode: str = setting(
        "crop",
        "How images of another shape come to image_size: resized and cropped (crop), stretched, "
        "or resized and padded (pad).",
        choices=("crop", "stretch", "pad"),
        label="Resizing",
    )
    background: str = setting(
        "auto",
        "What transparent images are composited over: white, black, a checkerboard (checker), or "
        "white except for images too bright to be seen on it (auto).",
        choices=("auto", "white", "black", "checker"),
        label="Background of transparent images",
    )
    bit_depth: int | None = setting(
        None,
        "Bits that samples of 16 bits use, where a file does not say; unless set, as many as hold "
        "the largest value of the data set, and kept with the run.",
        at_least=1,
        at_most=16,
        unit="bits",
        unset="auto",
    )
    value_range: Any = setting(
        None,
        "Stored values that become black and white, [low, high], in full depth: for images of more "
        "than 8 bits, floats, DICOM and NumPy files. auto takes what is known of them, percentile "
        "0.5% and 99.5% of the training images, and window each DICOM file's own. Unless set, "
        "images have 256 levels.",
        label="Range of stored values",
        unset="256 levels",
    )
    channels: int | None = setting(
        None,
        "Channels of the images, such as 1 or 5, of files where data.value_range is set, or of "
        "arrays; unless set, 3 of files, and 1, 3 or 4 of arrays.",
        at_least=1,
        at_most=256,
        unset="auto",
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
        "What to do about images of a folder, a table or Parquet files that cannot be read.",
        choices=("skip", "fail"),
        label="Unreadable images",
    )
    follow_links: bool = setting(
        False, "Follow links, and paths of a table, that lead out of the folder."
    )
    cache_mb: int = setting(
        2048,
        "Images of files and records are decoded once and kept in memory if they take no more than "
        "this many MB.",
        at_least=0,
        label="Image cache",
        unit="MB",
    )
    device_resident: Any = setting(
        "auto",
        "Keep all training images in the memory of the device, and gather batches there: where "
        "they take at most half of a GPU's free memory (auto), always (true) or never (false).",
        choices=("auto", "true", "false"),
        label="Images in device memory",
    )
    workers: int | None = setting(
        None,
        "Threads that decode images of files and records; the number of cores unless set.",
        at_least=1,
        at_most=256,
        label="Decoding threads",
        unset="auto",
    )
    layout: Any = setting(
        "auto",
        "How the sub-folders of a folder are read: by their names (auto), each as a class "
        "(classes), by the exact names train, val, valid, validation and test (literal), or "
        "{train: <folder>, validation: <folder>, test: <folder>}.",
        label="Folder layout",
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
        label="File endings",
        unset="all images",
    )
    sampling: str = setting(
        "none",
        "Which images an epoch trains on: each once (none), as many of every class (balanced), or "
        "of a class in proportion to the square root of its images (sqrt). An epoch keeps its "
        "length.",
        choices=("none", "balanced", "sqrt"),
    )
