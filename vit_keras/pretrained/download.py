"""A handle -> a path on this machine, fetched once and then cached by the library that fetches."""

import functools
import os
import re
import shutil
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

from vit_keras.errors import SettingError

KAGGLE = re.compile(r"https?://(?:www\.)?kaggle\.com/models/([^/?#]+(?:/[^/?#]+){3,4})/?")
TFHUB = re.compile(r"https?://.*(?:tfhub\.dev|\.tar\.gz|\.tgz)(?:$|[/?])")
HUGGING_FACE = re.compile(r"(?:hf://|https?://huggingface\.co/)?([\w.-]+/[\w.-]+)/?")
WAYS = (
    "a local path, "
    "https://www.kaggle.com/models/<owner>/<model>/<framework>/<variation>/<version>, "
    "https://tfhub.dev/..., or <owner>/<name> of huggingface.co"
)


def check(handle: str, setting: str = "handle") -> None:
    """Refuse what is neither a path that exists nor a name that could be fetched; no network.

    Raises:
        SettingError: with the forms that a handle can have.
    """
    if not isinstance(handle, str | os.PathLike) or not str(handle).strip():
        raise SettingError(f"{setting}={handle!r} is no handle; give {WAYS}")
    if _on_disk(handle) is None and _fetcher(str(handle)) is None:
        raise SettingError(
            f"{setting}={handle} is not there, and no address of a model; give {WAYS}"
        )


def local(handle: str) -> Path:
    """The file or folder that `handle` names, downloaded if need be.

    Raises:
        SettingError: it is not there and cannot be fetched. Nothing half-fetched is left behind:
            each library downloads beside its cache and moves what is whole into it, and what
            tensorflow-hub takes for whole is looked at again.
    """
    check(handle)
    if path := _on_disk(handle):
        return path
    fetch = _fetcher(str(handle))
    assert fetch is not None  # check() has seen to it
    try:
        return Path(fetch())
    except ImportError as error:
        raise SettingError(
            f"handle={handle} needs {error.name}; pip install {error.name}, or give a local path"
        ) from None
    except Exception as error:  # of three libraries and what they are built on
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        said = textwrap.shorten(said, 300, placeholder=" ...")
        raise SettingError(
            f"handle={handle} cannot be fetched ({said}); look at the name and the network (and, "
            "where the model asks for it, log in: kagglehub.login() or `hf auth login`), or fetch "
            "it elsewhere and give its local path"
        ) from error


def _on_disk(handle: str) -> Path | None:
    path = os.path.expanduser(handle)  # os.path, for Path raises at ~nobody and at long names
    return Path(path).resolve() if os.path.exists(path) else None


def _fetcher(handle: str) -> Callable[[], str | Path] | None:
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
    parts[2] = parts[2][:1].lower() + parts[2][1:]  # the site's addresses say TensorFlow2
    return kagglehub.model_download("/".join(parts))


def _tfhub(address: str) -> Path:
    with warnings.catch_warnings():
        # tensorflow-hub 0.16.1, the last one, imports pkg_resources, which setuptools 80 has still.
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        import tensorflow_hub

    os.environ.setdefault("TFHUB_DOWNLOAD_PROGRESS", "1")
    folder = Path(tensorflow_hub.resolve(address))
    if missing := _missing(folder):  # an archive cut off between two files passes there for whole
        shutil.rmtree(folder)
        raise OSError(f"the download has no {missing}")
    return folder


def _missing(folder: Path) -> str | None:
    """A part that a whole SavedModel has and this one has not."""
    for part in ("saved_model.pb", "variables/variables.index"):
        if not (folder / part).is_file():
            return part
    shards = [path.name for path in folder.glob("variables/variables.data-*-of-*")]
    count = int(shards[0].rpartition("-")[2]) if shards else 1
    return None if len(shards) == count else f"variables/variables.data for each of {count} shards"


def _hugging_face(name: str) -> str:
    import huggingface_hub

    return huggingface_hub.snapshot_download(name, allow_patterns=["*.safetensors*", "*.json"])
