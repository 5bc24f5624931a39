"""Speeds of training steps that were measured before, in `autotune.json` of the cache folder."""

import json
import time
from collections.abc import Iterable
from typing import Any

from vit_keras.cache import cache_folder
from vit_keras.io import atomic
from vit_keras.logs import log

FILE = "autotune.json"
MAX_ENTRIES = 100


def recall(key: dict[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Images per second of those of `names` that work; empty if they were not tried together.

    `key` is what they depend on: the machine, the model and the versions.
    """
    asked, key = list(names), _as_json(key)
    for entry in _read():
        if entry["of"] == key and set(entry["tried"]).issuperset(asked):
            return {name: entry["speeds"][name] for name in asked if name in entry["speeds"]}
    return {}


def remember(key: dict[str, Any], names: Iterable[str], speeds: dict[str, float]) -> None:
    """Keep `speeds` of those of `names` that work, instead of earlier ones of the same `key`."""
    key = _as_json(key)
    entry = {
        "of": key,
        "tried": list(names),
        "speeds": {name: round(speed, 1) for name, speed in speeds.items()},
        "measured": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    entries = [entry, *(one for one in _read() if one["of"] != key)][:MAX_ENTRIES]
    try:
        atomic.write_text(cache_folder() / FILE, json.dumps(entries, indent=1) + "\n")
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        log.debug("the speeds of the training step are not kept: %s", error)


def _read() -> list[dict[str, Any]]:
    """The entries, newest first; none if the file is absent or not valid."""
    try:
        entries = json.loads((cache_folder() / FILE).read_text("utf-8"))
        return [entry for entry in entries if {"of", "tried", "speeds"} <= set(entry)]
    except (OSError, ValueError, TypeError, RuntimeError):
        return []


def _as_json(key: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(key, default=str))
