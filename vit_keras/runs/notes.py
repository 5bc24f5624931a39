"""What a person says of a run: tags to find it by, and a note, in its `notes.json`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs.run_dir import CONFIG

NOTES = "notes.json"
MAX_TAG = 40  # letters
MAX_NOTE = 10_000


@dataclass(frozen=True)
class Notes:
    """Tags in the order of the alphabet, each once, and a text of any lines."""

    tags: tuple[str, ...] = ()
    note: str = ""


def read(run: Path) -> Notes:
    """The notes of the run in this folder; none where nothing was noted.

    Raises:
        SettingError: the file is damaged.
    """
    file = run / NOTES
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Notes(tuple(map(str, kept["tags"])), str(kept["note"]))
    except FileNotFoundError:
        return Notes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(f"{file} is damaged ({error}); mend it, or delete it") from None


def write(run: Path, notes: Notes) -> None:
    """Keep the notes, in the place of earlier ones; empty ones leave no file.

    Raises:
        SettingError: the folder is no run (any more), or cannot be written to.
    """
    if not (run / CONFIG).is_file():
        raise SettingError(f"{run} is no run (any more): it has no {CONFIG}; choose another one")
    if len(notes.note) > MAX_NOTE:
        raise SettingError(f"a note of {len(notes.note):,} letters; {MAX_NOTE:,} at most are kept")
    try:
        if notes == Notes():
            (run / NOTES).unlink(missing_ok=True)
            return
        with atomic.atomic_file(run / NOTES) as new:
            text = json.dumps(asdict(notes), indent=2, ensure_ascii=False)
            new.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{run / NOTES} cannot be written ({error.strerror})") from None


def tags(text: str | Iterable[str]) -> tuple[str, ...]:
    """`"b, a,b"` -> `("a", "b")`.

    Raises:
        SettingError: one is too long.
    """
    words = text.split(",") if isinstance(text, str) else text
    found = sorted({" ".join(word.split()) for word in words} - {""})
    for tag in found:
        if len(tag) > MAX_TAG:
            raise SettingError(f"the tag {tag[:MAX_TAG]}... is longer than {MAX_TAG} letters")
    return tuple(found)
