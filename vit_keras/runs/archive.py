"""Pack a run, or another folder of results, into a zip file, and unpack a run from one."""

import io
import os
import zipfile
from pathlib import Path
from typing import IO

import yaml

from vit_keras.errors import SettingError
from vit_keras.io import atomic, zip_files
from vit_keras.runs.run_dir import CONFIG, LOCK

TO_RESUME = (
    "checkpoint",
    "last.keras",
)  # several times the size of the model, needed only to resume
TEXT_SUFFIXES = (".json", ".yaml")  # files that are read into memory when a run is opened
MAX_TEXT = 2**24  # bytes of one such file
MAX_BYTES = 2**30  # largest zip that is built in memory


def archive_run(
    folder: Path, target: str | Path | IO[bytes], with_checkpoints: bool = False
) -> int:
    """Write the files of a folder into a zip, below the folder's name.

    Symbolic links and temporary files are left out.

    Args:
        folder: a run, or any other folder.
        target: the zip file.
        with_checkpoints: include checkpoints, to resume the run.

    Returns:
        The number of files.

    Raises:
        SettingError: the folder does not exist (any more), or cannot be read.
    """
    files = files_to_archive(folder, with_checkpoints)
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, Path(folder.resolve().name, file.relative_to(folder)))
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be zipped ({error.strerror}); check that its files can be read"
        ) from None
    return len(files)


def files_to_archive(folder: Path, with_checkpoints: bool = False) -> list[Path]:
    """The files that `archive_run` takes, sorted.

    Raises:
        SettingError: the folder does not exist (any more).
    """
    if not folder.is_dir():
        raise SettingError(f"{folder} is not a folder (any more); choose another run")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith((".new-", ".old-")))
        if not with_checkpoints and Path(place) == folder:
            folders[:] = [name for name in folders if name not in TO_RESUME]
            names = [name for name in names if name not in TO_RESUME]
        files = [Path(place, n) for n in sorted(names) if n != LOCK and not n.startswith(".new-")]
        found += [file for file in files if file.is_file() and not file.is_symlink()]
    return found


def zip_bytes(folder: Path, with_checkpoints: bool = False) -> bytes:
    """The zip of a folder, built in memory.

    Raises:
        SettingError: as `archive_run`, or the folder is too large.
    """
    check_zip_size(folder, with_checkpoints)
    stream = io.BytesIO()
    archive_run(folder, stream, with_checkpoints)
    return stream.getvalue()


def check_zip_size(folder: Path, with_checkpoints: bool = False) -> None:
    """Refuse a folder that is too large for a zip in memory.

    Raises:
        SettingError: naming the size and the command that streams to disk.
    """
    size = sum(file.stat().st_size for file in files_to_archive(folder, with_checkpoints))
    if size > MAX_BYTES:
        raise SettingError(
            f"{folder} has {size / 1e9:.1f} GB, more than the {MAX_BYTES / 1e9:.1f} GB that fit in "
            "memory; write the zip by `vit-keras runs zip`"
        )


def unpack_run(file: str | Path | IO[bytes], root: Path) -> Path:
    """Unpack the run in an untrusted zip into a new folder of `root`.

    The folder appears complete or not at all; a name that is taken gets a number.

    Returns:
        The new folder.

    Raises:
        SettingError: the file is not a zip, is damaged or encrypted, has a path that leads out or a
            link, unpacks to too much, or contains no run.
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
                f"the zip contains no run, which is one folder with a {CONFIG}; make it by "
                "`vit-keras runs zip`, or by Download as zip in the studio"
            )
        place = root / zip_files.sanitized_name(*tops)
        with atomic.temporary_folder(place) as new:
            for entry, (_, *parts) in found:
                cleaned = [zip_files.sanitized_name(part) for part in parts]
                if parts[-1].endswith(TEXT_SUFFIXES) and entry.file_size > MAX_TEXT:
                    raise SettingError(
                        f"{zip_files.printable_name(entry.filename)} has {entry.file_size:,} "
                        f"bytes, more than the {MAX_TEXT:,} that a file of a run may have; leave "
                        "it out"
                    )
                # No file of a run is hidden or has control characters in its name.
                if cleaned == parts:
                    zip_files.extract_member(archive, entry, new.joinpath(*parts))
            _check_contents(new)
            return _move_to_free_name(new, place)


def _check_contents(run: Path) -> None:
    """Models, checkpoints and settings are opened later, and each may be a bomb itself."""
    for file in (*run.rglob("*.keras"), *run.rglob("*.npz")):
        if zipfile.is_zipfile(file):  # otherwise it is damaged, which its status will report
            with zip_files.open_untrusted(file):
                pass
    try:
        events = yaml.parse((run / CONFIG).read_text(encoding="utf-8"), yaml.SafeLoader)
        has_aliases = any(isinstance(event, yaml.AliasEvent) for event in events)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"the {CONFIG} in the zip cannot be read ({error})") from None
    if has_aliases:  # a few lines of aliases can expand to millions
        raise SettingError(f"the {CONFIG} in the zip has YAML aliases, which runs never have")


def _move_to_free_name(new: Path, place: Path) -> Path:
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        target = place.with_name(place.name + suffix)
        if not target.exists():
            return new.rename(target)
    raise SettingError(f"{place.parent} has a thousand runs named {place.name}; delete some")
