"""Tags and a note that a person attaches to a run, or archives it by: its `notes.json`."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs.run_dir import CONFIG

NOTES = "notes.json"
MAX_TAG = 40  # characters
MAX_NOTE = 10_000


@dataclass(frozen=True)
class Notes:
    """Sorted, unique tags, a free text, and whether the run is left out of lists of runs."""

    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False


def read_notes(run: Path) -> Notes:
    """Read the notes of a run; empty notes if there is no file.

    Raises:
        SettingError: the file is damaged.
    """
    file = os.path.join(run, NOTES)
    try:
        with open(file, encoding="utf-8") as content:
            kept = json.load(content)
        archived = kept.get("archived") is True
        return Notes(tuple(map(str, kept["tags"])), str(kept["note"]), archived)
    except FileNotFoundError:
        return Notes()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"{file} is damaged ({error}); repair it, or delete it") from None


def notes_or_empty(run: Path) -> Notes:
    """Notes of a run; empty if they are damaged, which `read_notes` reports."""
    try:
        return read_notes(run)
    except SettingError:
        return Notes()


def write_notes(run: Path, notes: Notes) -> None:
    """Write the notes of a run, replacing earlier ones; empty notes remove the file.

    Raises:
        SettingError: the folder is not a run (any more), or cannot be written to.
    """
    if not (run / CONFIG).is_file():
        raise SettingError(f"{run} is not a run (any more): it has no {CONFIG}; choose another one")
    if len(notes.note) > MAX_NOTE:
        raise SettingError(
            f"the note has {len(notes.note):,} characters; at most {MAX_NOTE:,} are kept"
        )
    try:
        if notes == Notes():
            (run / NOTES).unlink(missing_ok=True)
            return
        content = asdict(notes)
        if not notes.archived:
            del content["archived"]
        text = json.dumps(content, indent=2, ensure_ascii=False)
        atomic.write_text(run / NOTES, text + "\n")
    except OSError as error:
        raise SettingError(f"{run / NOTES} cannot be written ({error.strerror})") from None


def parse_tags(text: str | Iterable[str]) -> tuple[str, ...]:
    """Parse tags: `"b, a,b"` -> `("a", "b")`.

    Raises:
        SettingError: a tag is too long.
    """
    words = text.split(",") if isinstance(text, str) else text
    found = sorted({" ".join(word.split()) for word in words} - {""})
    for tag in found:
        if len(tag) > MAX_TAG:
            raise SettingError(f"the tag {tag[:MAX_TAG]}... is longer than {MAX_TAG} characters")
    return tuple(found)
