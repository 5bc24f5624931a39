"""The lines of the table of runs: which are looked for, and what each says."""

from collections.abc import Sequence

from vit_keras import run_tables
from vit_keras.run_list import Ranked
from vit_keras.run_notes import Notes
from vit_keras.run_settings import chosen as set_settings

Found = tuple[Ranked, Notes]


def chosen(
    found: Sequence[Found], search: str, states: Sequence[str], tags: Sequence[str]
) -> list[Found]:
    """Those that hold every word of the search, are in one of the states, and have every tag.

    Args:
        found: runs and their notes.
        search: words, in names, settings, tags and notes; large and small letters are alike.
        states: none is any.
        tags: none is any.
    """
    words = search.casefold().split()
    return [
        (one, notes)
        for one, notes in found
        if (not states or one.run.state in states)
        and set(tags) <= set(notes.tags)
        and all(word in _text(one, notes) for word in words)
    ]


def _text(one: Ranked, notes: Notes) -> str:
    """Everything of a run that can be searched."""
    settings = set_settings(one.run.config) if one.run.config else {}
    set_ones = (f"{name}={run_tables.setting(value)}" for name, value in settings.items())
    parts = (one.run.name, one.run.state, run_tables.data_of(one.run), *notes.tags, notes.note)
    return "\n".join((*parts, *set_ones)).casefold()


def rows(found: Sequence[Found], by: str) -> list[tuple[str, ...]]:
    """A line for each run, the head first; `by` is the figure that they are sorted by."""
    columns = [by, *(name for name in run_tables.SHOWN if name != by)]
    head = ("#", "run", *(name.replace("_", " ") for name in columns), "data", "state", "tags")
    lines = [
        (
            str(one.place or "-"),
            one.run.name,
            *(run_tables.figure(one.run.metrics.get(name)) for name in columns),
            run_tables.data_of(one.run),
            run_tables.said(one.run),
            ", ".join(notes.tags),
        )
        for one, notes in found
    ]
    has_tags = any(notes.tags for _, notes in found)
    return [line if has_tags else line[:-1] for line in (head, *lines)]
