"""A run, or another folder of results, as one zip to be handed on; and a run out of such a zip."""

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO

import yaml

from vit_keras.errors import SettingError
from vit_keras.io import zip_files
from vit_keras.runs.run_dir import CONFIG, LOCK

TO_RESUME = ("checkpoint", "last.keras")  # several times the model, and of no use to others
READ_WHOLE = (".json", ".yaml")  # files that are read into memory
MAX_TEXT = 2**24  # bytes of one
MAX_BYTES = 2**30  # that are held in memory


def archive_run(folder: Path, target: str | Path | IO[bytes], whole: bool = False) -> int:
    """Put a folder's files below its name into a zip; gives how many there are.

    Links are left out, and so is what is half written.

    Args:
        folder: a run, or any other.
        target: the zip.
        whole: also what a run is resumed from.

    Raises:
        SettingError: the folder is gone, or cannot be read.
    """
    files = chosen(folder, whole)
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, Path(folder.resolve().name, file.relative_to(folder)))
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be zipped ({error.strerror}); see that it is whole and can be read"
        ) from None
    return len(files)


def chosen(folder: Path, whole: bool = False) -> list[Path]:
    """The files that `write` takes, in order.

    Raises:
        SettingError: the folder is gone.
    """
    if not folder.is_dir():
        raise SettingError(f"{folder} is no folder (any more); choose another run")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith((".new-", ".old-")))
        if not whole and Path(place) == folder:
            folders[:] = [name for name in folders if name not in TO_RESUME]
            names = [name for name in names if name not in TO_RESUME]
        files = [Path(place, n) for n in sorted(names) if n != LOCK and not n.startswith(".new-")]
        found += [file for file in files if file.is_file() and not file.is_symlink()]
    return found


def content(folder: Path, whole: bool = False) -> bytes:
    """The zip in memory.

    Raises:
        SettingError: as `write`, or it is too large for that.
    """
    check_size(folder, whole)
    stream = io.BytesIO()
    archive_run(folder, stream, whole)
    return stream.getvalue()


def check_size(folder: Path, whole: bool = False) -> None:
    """Refuse what is too large to be held in memory.

    Raises:
        SettingError: naming the size, and the script that holds nothing.
    """
    size = sum(file.stat().st_size for file in chosen(folder, whole))
    if size > MAX_BYTES:
        raise SettingError(
            f"{folder} has {size / 1e9:.1f} GB, {MAX_BYTES / 1e9:.1f} GB at most are held in "
            "memory; write the zip by scripts/runs.py zip"
        )


def unpack_run(file: str | Path | IO[bytes], root: Path) -> Path:
    """The run in a zip of `write`, from anybody, as a new folder of `root`; gives that folder.

    It is whole or not there. A name that is taken gets a number.

    Raises:
        SettingError: it is no zip, is damaged or has a password, has a path that leads out or a
            link, unpacks to too much, or has no run in it.
    """
    with zip_files.open_untrusted(file) as archive:
        found = [
            (entry, zip_files.member_parts(entry))
            for entry in archive.infolist()
            if not entry.is_dir()
        ]
        tops = {parts[0] for _, parts in found}
        if len(tops) != 1 or all(parts[1:] != (CONFIG,) for _, parts in found):
            raise SettingError(
                f"the zip has no run in it, which is one folder with a {CONFIG}; make it by "
                "scripts/runs.py zip, or by Download as zip in the studio"
            )
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as new:
            for entry, (_, *parts) in found:
                cleaned = [zip_files.sanitized_name(part) for part in parts]
                if parts[-1].endswith(READ_WHOLE) and entry.file_size > MAX_TEXT:
                    raise SettingError(
                        f"{zip_files.printable_name(entry.filename)} has {entry.file_size:,} "
                        f"bytes, and no run's has more than {MAX_TEXT:,}; leave it out"
                    )
                if cleaned == parts:  # nothing of a run is hidden, or has signs in its name
                    zip_files.extract_member(archive, entry, Path(new, "run", *parts))
            _check_contents(Path(new, "run"))
            return _placed(Path(new, "run"), root / zip_files.sanitized_name(*tops))


def _check_contents(run: Path) -> None:
    """What is opened of a run later is a zip or a text, which may be a bomb again."""
    for file in (*run.rglob("*.keras"), *run.rglob("*.npz")):
        if zipfile.is_zipfile(file):  # else it is damaged, and will be said to be
            with zip_files.open_untrusted(file):
                pass
    try:
        events = yaml.parse((run / CONFIG).read_text(encoding="utf-8"), yaml.SafeLoader)
        has_aliases = any(isinstance(event, yaml.AliasEvent) for event in events)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"the {CONFIG} in the zip cannot be read ({error})") from None
    if has_aliases:  # a few lines of them are millions when they are read
        raise SettingError(f"the {CONFIG} in the zip has aliases, which no run's has")


def _placed(new: Path, place: Path) -> Path:
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        target = place.with_name(place.name + suffix)
        if not target.exists():
            return new.rename(target)
    raise SettingError(f"{place.parent} holds a thousand runs of {place.name}; delete some")
