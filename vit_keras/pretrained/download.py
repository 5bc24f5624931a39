"""Download of pretrained models: a handle -> a local path, cached by the downloading library."""

import difflib
import functools
import os
import re
import shutil
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.pretrained.backbones import BACKBONES
from vit_keras.text import first_line

KAGGLE = re.compile(r"https?://(?:www\.)?kaggle\.com/models/([^/?#]+(?:/[^/?#]+){3,4})/?")
TFHUB = re.compile(r"https?://.*(?:tfhub\.dev|\.tar\.gz|\.tgz)(?:$|[/?])")
HUGGING_FACE = re.compile(r"(?:hf://|https?://huggingface\.co/)?([\w.-]+/[\w.-]+)/?")
HANDLE_FORMS = (
    "a local path, "
    "https://www.kaggle.com/models/<owner>/<model>/<framework>/<variation>/<version>, "
    "https://tfhub.dev/..., <owner>/<name> of huggingface.co, or a short name such as dinov2_s14"
)


def check(handle: str, setting: str = "handle") -> None:
    """Check, without network access, that a handle is an existing path or a downloadable name.

    Raises:
        SettingError: it is neither; the message lists the forms of a handle.
    """
    if not isinstance(handle, str | os.PathLike) or not str(handle).strip():
        raise SettingError(f"{setting}={handle!r} is no handle; use {HANDLE_FORMS}")
    if _on_disk(handle) is None and str(handle).startswith("saved_models/"):
        # The recipes' released model, and never <owner>/<name> of a hub.
        folders = [f"saved_models/{path.name}" for path in Path("saved_models").glob("[!.]*")]
        near = difflib.get_close_matches(str(handle), folders, n=1, cutoff=0.7)
        way_out = (
            f"did you mean {near[0]}?"
            if near
            else "the released models are in a clone of the repository: run this there, or set "
            "another handle"
        )
        raise SettingError(f"{setting}={handle} is not in {Path.cwd()}; {way_out}")
    if _on_disk(handle) is None and _fetcher(str(handle)) is None:
        near = difflib.get_close_matches(str(handle), BACKBONES, n=1, cutoff=0.7)
        meant = f"; did you mean {near[0]}? Or" if near else ";"
        raise SettingError(
            f"{setting}={handle} does not exist and is no address of a model{meant} use "
            f"{HANDLE_FORMS}"
        )


def fetch(handle: str) -> Path:
    """The local file or folder of `handle`, downloaded if necessary.

    Raises:
        SettingError: it does not exist and cannot be downloaded. No incomplete download is left
            in the cache.
    """
    check(handle)
    if path := _on_disk(handle):
        return path
    download = _fetcher(str(handle))
    assert download is not None  # by check()
    try:
        return Path(download())
    except ImportError as error:
        raise SettingError(
            f"handle={handle} needs {error.name}; pip install {error.name}, or use a local path"
        ) from None
    except Exception as error:  # three libraries without a common base class
        reason = textwrap.shorten(first_line(error), 300, placeholder=" ...")
        raise SettingError(
            f"handle={handle} cannot be fetched ({reason}); check the name and the network, log in "
            "if the model needs it (kagglehub.login() or `hf auth login`), or download it "
            "elsewhere and use its local path"
        ) from error


def is_on_disk(handle: str) -> bool:
    """Whether a handle is an existing path, and not an address or the path of what was moved."""
    return _on_disk(handle) is not None


def pending(handle: str) -> str | None:
    """The site that a handle would be downloaded from; None if it is on this computer already.

    Without network access: by the folders in which the downloading libraries keep what they fetch.
    """
    name = BACKBONES[handle].hub_id if handle in BACKBONES else handle
    if _on_disk(handle) is not None:
        return None
    if kaggle := KAGGLE.fullmatch(name):
        cache = os.environ.get("KAGGLEHUB_CACHE", "~/.cache/kagglehub")
        owner, model, framework, *rest = kaggle[1].split("/")
        parts = ("models", owner, model, framework[:1].lower() + framework[1:], *rest)
        return None if Path(cache, *parts).expanduser().is_dir() else "kaggle.com"
    if found := HUGGING_FACE.fullmatch(name):
        home = os.environ.get("HF_HOME", "~/.cache/huggingface")
        cache = os.environ.get("HF_HUB_CACHE", str(Path(home, "hub")))
        folder = Path(cache, f"models--{found[1].replace('/', '--')}", "snapshots").expanduser()
        return None if any(folder.glob("*/*.safetensors*")) else "huggingface.co"
    return "tfhub.dev"


def _on_disk(handle: str) -> Path | None:
    path = os.path.expanduser(handle)  # not Path, which raises for ~nobody and for long names
    return Path(path).resolve() if os.path.exists(path) else None


def _fetcher(handle: str) -> Callable[[], str | Path] | None:
    if handle in BACKBONES:
        return functools.partial(_hugging_face, BACKBONES[handle].hub_id)
    if kaggle := KAGGLE.fullmatch(handle):
        return functools.partial(_kaggle, kaggle[1])
    if TFHUB.match(handle):
        return functools.partial(_tfhub, handle)
    looks_local = handle.startswith((".", "/", "~")) or os.path.isdir(os.path.dirname(handle))
    if (found := HUGGING_FACE.fullmatch(handle)) and (":" in handle or not looks_local):
        return functools.partial(_hugging_face, found[1])
    return None


def _kaggle(name: str) -> str:
    import kagglehub

    parts = name.split("/")
    parts[2] = parts[2][:1].lower() + parts[2][1:]  # TensorFlow2 in the site's URLs
    return kagglehub.model_download("/".join(parts))


def _tfhub(address: str) -> Path:
    with warnings.catch_warnings():
        # tensorflow-hub 0.16.1, the last release, imports pkg_resources, still in setuptools 80.
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        import tensorflow_hub

    os.environ.setdefault("TFHUB_DOWNLOAD_PROGRESS", "1")
    folder = Path(tensorflow_hub.resolve(address))
    # tensorflow-hub accepts an archive that was cut off between two of its files.
    if missing := _missing(folder):
        shutil.rmtree(folder)
        raise OSError(f"the download has no {missing}")
    return folder


def _missing(folder: Path) -> str | None:
    """The name of a missing part of a SavedModel; None if it is complete."""
    for part in ("saved_model.pb", "variables/variables.index"):
        if not (folder / part).is_file():
            return part
    shards = [path.name for path in folder.glob("variables/variables.data-*-of-*")]
    count = int(shards[0].rpartition("-")[2]) if shards else 1
    return None if len(shards) == count else f"variables/variables.data for each of {count} shards"


def _hugging_face(name: str) -> str:
    import huggingface_hub

    return huggingface_hub.snapshot_download(name, allow_patterns=["*.safetensors*", "*.json"])
