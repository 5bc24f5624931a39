"""Settings that were renamed: old commands and old `config.yaml` files go on working.

Nothing here imports Keras.
"""

import functools
import re
import sys
from collections.abc import Iterable
from typing import Any

from vit_keras.errors import SettingError

# As on a command line: old -> new. A row with a value also renames that value.
RENAMED = {
    "data.dir": "data.tfds_dir",
    "data.fit": "data.resize_mode",
    "pretrained.weights=file": "pretrained.load_weights=true",
    "pretrained.weights=random": "pretrained.load_weights=false",
    "pretrained.opaque": "pretrained.wrap_saved_model",
    "pretrained.allow": "pretrained.ignore_weights",
    "stages.*.trains": "stages.*.trainable",
    "augment.policy=three": "augment.policy=three_augment",
    "augment.policy=trivial": "augment.policy=trivial_augment",
    "augment.erase": "augment.random_erasing",
    "augment.jitter": "augment.color_jitter",
    "augment.repeats": "augment.repeated_augmentation",
    "optim.accumulate_steps": "optim.gradient_accumulation_steps",
    "optim.ema": "optim.ema_momentum",
    "optim.final_learning_rate": "optim.final_lr_fraction",
    "train.jit": "train.jit_compile",
    "train.limit_steps": "train.limit_train_batches",
    "train.samples": "train.sample_predictions",
    "train=default": "",  # the group had this one empty choice
}

# Setting -> what runs did that were written before it existed, where its default does otherwise.
# They are read, resumed and evaluated as they were trained.
BEFORE: dict[str, Any] = {
    "data.layout": "literal",
    "data.suffixes": [".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif"],
    "data.group_duplicates": "none",
    "data.background": "white",
    "data.decoder_version": 1,
    "optim.step_unit": "batch",
    "train.autotune": False,
}

# Old name -> new name, which is the same where only a value was renamed.
NAMES = {old.split("=")[0]: new.split("=")[0] for old, new in RENAMED.items() if "." in old}
# (old name, old value) -> new value.
VALUES = {
    tuple(old.split("=")): new.split("=")[1]
    for old, new in RENAMED.items()
    if "." in old and "=" in old
}


def current_words(words: Iterable[str]) -> list[str]:
    """The overrides of a command line by the settings' current names.

    Each deprecated name is reported once, on standard error.

    Raises:
        SettingError: a setting is given by its old and by its new name.
    """
    words = list(words)
    for word in words:
        old = _name_of(word)
        new = current_name(old)
        if old != new and (twin := next((w for w in words if _name_of(w) == new), None)):
            raise SettingError(
                f"{word} and {twin} set the same, which is now {new}; leave {old} out"
            )
    return [new for word in words if (new := _current_word(word)) or word not in RENAMED]


def current_name(name: str) -> str:
    """`optim.ema` -> `optim.ema_momentum`, and any name that was not renamed as it is."""
    pattern = re.sub(r"^stages\.[\w-]+\.", "stages.*.", name)
    return NAMES[pattern].replace("*", name.split(".")[1]) if pattern in NAMES else name


def current_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """The content of a `config.yaml`, of whatever version, by the settings' current names.

    A setting that is newer than the file gets its value of `BEFORE`, if it has one there.

    Raises:
        SettingError: a setting has its old and its new name.
    """
    result = {key: dict(part) if isinstance(part, dict) else part for key, part in tree.items()}
    stages = result.get("stages")
    if isinstance(stages, dict):
        result["stages"] = {
            name: _current_group("stages.*", part) if isinstance(part, dict) else part
            for name, part in stages.items()
        }
    result = {
        group: _current_group(group, part) if isinstance(part, dict) and group != "stages" else part
        for group, part in result.items()
    }
    for setting, value in BEFORE.items():
        group, _, name = setting.partition(".")
        if isinstance(result.get(group), dict):
            result[group].setdefault(name, value)
    return result


def _current_group(group: str, settings: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in settings.items():
        old = f"{group}.{key}"
        new = NAMES.get(old, old).rpartition(".")[2]
        if new in result or (new != key and new in settings):
            raise SettingError(f"{old} and {group}.{new} set the same; leave {old} out")
        result[new] = VALUES.get((old, str(value)), value)
    return result


def _name_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _current_word(word: str) -> str:
    """One override by current names; empty for one that sets nothing any more."""
    if word in RENAMED and "." not in word:
        _report(word, RENAMED[word])
        return RENAMED[word]
    name, sign, value = word.partition("=")
    old = name.lstrip("+~")
    new = current_name(old)
    value = _current_keys(re.sub(r"^stages\.[\w-]+$", "stages.*", old), value)
    renamed_values = {was: now for (owner, was), now in VALUES.items() if owner == old}
    found = [was for was in renamed_values if re.search(rf"(?<!\w){was}(?!\w)", value)]
    for was in found:
        now = renamed_values[was]
        _report(f"{old}={was}", f"{new}={now}")
        value = re.sub(rf"(?<!\w){was}(?!\w)", now, value)
    if new != old and not found:
        _report(old, new)
    if "${" in value or old.startswith("hydra."):  # names of settings in a reference, or to search
        value = re.sub(r"[\w-]+(\.[\w-]+)+", lambda found: current_name(found[0]), value)
    return name[: len(name) - len(old)] + new + sign + value


def _current_keys(group: str, text: str) -> str:
    """The keys of a dictionary in Hydra's grammar, `{trains: all}`, by current names."""
    for old, new in NAMES.items():
        parent, _, key = old.rpartition(".")
        key_at, new_key = rf"([{{,]\s*){key}(\s*:)", new.rpartition(".")[2]
        if parent not in (group, f"{group}.*") or not re.search(key_at, text):
            continue
        if key != new_key and re.search(rf"[{{,]\s*{new_key}\s*:", text):
            raise SettingError(
                f"{text} has {key} and {new_key}, which set the same; leave {key} out"
            )
        if key != new_key:
            _report(old, new)
        text = re.sub(key_at, rf"\1{new_key}\2", text)
    return text


@functools.cache  # once for each name
def _report(old: str, new: str) -> None:
    is_now = f"is now {new}" if new else "has no effect any more; leave it out"
    print(f"{old} {is_now}", file=sys.stderr)
