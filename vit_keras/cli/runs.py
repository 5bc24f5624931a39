"""List, compare, describe, tag, rename, zip and delete runs: `vit-keras runs --help`."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from vit_keras.cli.arguments import as_typed, build_parser, complete_files
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs import archive, tables
from vit_keras.runs import notes as runs_notes
from vit_keras.runs.compare import compare
from vit_keras.runs.delete import candidates, delete
from vit_keras.runs.describe import describe
from vit_keras.runs.listing import BY, ROOT, find_run, list_runs, rank
from vit_keras.runs.rename import rename
from vit_keras.text import counted, one_line

COMMANDS = ("list", "compare", "describe", "note", "rename", "zip", "unzip", "clean")
RUN = "a run, by its name or path"


def main() -> None:
    words = sys.argv[1:]
    is_option = not words or words[0].startswith("-")
    if is_option and not {*COMMANDS, "-h", "--help"} & {*words}:
        words = ["list", *words]
    parser = build_parser("runs", add_arguments)
    with exit_codes(as_typed(parser, words)):
        settings = parser.parse_args(words, argparse.Namespace(root=ROOT))
        settings.task(settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    commands = parser.add_subparsers(required=True, metavar=f"{{{','.join(COMMANDS)}}}")

    def command(name, task, help):
        subparser = commands.add_parser(name, help=help, description=help)
        add_root(subparser)
        subparser.set_defaults(task=task)
        return subparser

    listing = command(
        "list", show_list, "all runs, those of each data set ranked, and other folders"
    )
    listing.add_argument("--by", default=BY, help=f"a metric of metrics.json ({BY})")
    listing.add_argument("--newest", action="store_true", help="the newest first, not the best")
    listing.add_argument("--all", action="store_true", help="with those that are archived")
    comparing = command(
        "compare", show_comparison, "settings that differ, the better metrics, and the curves"
    )
    complete_files(comparing.add_argument("first", help=RUN))
    complete_files(comparing.add_argument("second", help="another run"))
    complete_files(comparing.add_argument("others", nargs="*", help="further runs"))
    comparing.add_argument("--output", help="the PNG to write (beside the first run)")
    comparing.add_argument("--overwrite", action="store_true", help="replace it if it is there")
    describing = command("describe", show_description, "settings, model, data, environment")
    complete_files(describing.add_argument("run", help=RUN))
    noting = command("note", note, "show or set a run's tags and note; '' removes them")
    complete_files(noting.add_argument("run", help=RUN))
    noting.add_argument("--tags", help="replace the tags: good,small")
    noting.add_argument("--note", help="replace the note")
    noting.add_argument(
        "--archive",
        action=argparse.BooleanOptionalAction,
        help="leave the run out of the list, or not any more",
    )
    renaming = command("rename", rename_run, "give a run another name")
    complete_files(renaming.add_argument("run", help=RUN))
    renaming.add_argument("name", help="the new name of its folder, which stays where it is")
    zipping = command("zip", write_zip, "pack a run into one file")
    complete_files(zipping.add_argument("run", help=RUN))
    zipping.add_argument("--output", help="the zip to write (<run>.zip)")
    zipping.add_argument("--whole", action="store_true", help="include checkpoints, to resume from")
    zipping.add_argument("--overwrite", action="store_true", help="replace it if it is there")
    unzipping = command("unzip", read_zip, "unpack such a file into the folder of runs")
    complete_files(unzipping.add_argument("file", help="a zip written by `vit-keras runs zip`"))
    cleaning = command("clean", clean, "delete incomplete runs, or those that are named")
    complete_files(cleaning.add_argument("runs", nargs="*", help="runs to delete, in any state"))
    cleaning.add_argument("--yes", action="store_true", help="delete without confirmation")


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add --root, which may come before or after the name of the sub-command."""
    # No default here: that of the sub-command would replace a value before its name.
    help = f"the folder of runs ({ROOT})"
    complete_files(parser.add_argument("--root", default=argparse.SUPPRESS, help=help))


def show_list(settings: argparse.Namespace) -> None:
    runs = list_runs(settings.root)
    shown = [
        run for run in runs if settings.all or not runs_notes.notes_or_empty(run.path).archived
    ]
    ranked = rank(shown, settings.by)
    if settings.newest:
        ranked.sort(key=lambda one: -one.run.trained)
    print(tables.ranking_table(ranked, settings.by))
    if hidden := len(runs) - len(shown):
        print(f"{counted(hidden, 'archived run[s] [is|are]')} not listed; --all lists all")


def show_comparison(settings: argparse.Namespace) -> None:
    names = settings.first, settings.second, *settings.others
    where = dict(root=settings.root, output=settings.output, overwrite=settings.overwrite)
    found = compare(*names, **where)
    print(tables.comparison_text(found))


def show_description(settings: argparse.Namespace) -> None:
    print(tables.description_text(describe(settings.run, settings.root)))


def note(settings: argparse.Namespace) -> None:
    path = find_run(settings.run, settings.root).path
    notes = runs_notes.read_notes(path)
    changes: dict[str, Any] = {"note": settings.note, "archived": settings.archive}
    if settings.tags is not None:
        changes["tags"] = runs_notes.parse_tags(settings.tags)
    changes = {name: value for name, value in changes.items() if value is not None}
    if changes:
        notes = replace(notes, **changes)
        runs_notes.write_notes(path, notes)
    print("tags:", ", ".join(map(one_line, notes.tags)) or "none")
    print("note:", notes.note or "none")
    if notes.archived:
        print("archived: left out of the list of runs")


def rename_run(settings: argparse.Namespace) -> None:
    run = find_run(settings.run, settings.root)
    print(one_line(str(rename(run.path, settings.name))))


def write_zip(settings: argparse.Namespace) -> None:
    path = find_run(settings.run, settings.root).path
    place = Path(settings.output or f"{path.resolve().name}.zip").expanduser()
    atomic.check_output_file(place, settings.overwrite, "--overwrite")
    with atomic.atomic_file(place) as new:
        count = archive.archive_run(path, new, settings.whole)
    size = tables.format_size(place.stat().st_size)
    print(f"{counted(count, 'file[s]')} in {one_line(str(place))}, {size}")


def read_zip(settings: argparse.Namespace) -> None:
    file = Path(settings.file).expanduser()
    if not file.is_file():
        raise SettingError(f"{settings.file} is not a file; name a zip by `vit-keras runs zip`")
    print(one_line(str(archive.unpack_run(file, Path(settings.root).expanduser()))))


def clean(settings: argparse.Namespace) -> None:
    found = candidates(settings.runs, settings.root)
    if not found:
        print(f"no incomplete runs in {settings.root}; name a run to delete it")
        return
    print(tables.candidates_table(found))
    if not settings.yes and not confirmed(len(found)):
        print("nothing is deleted")
        return
    for one in found:
        delete(one.run)
        print("deleted", one_line(str(one.run.path)))


def confirmed(count: int) -> bool:
    try:
        return input(f"delete {count}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise SettingError("no terminal to confirm on; use --yes to delete anyway") from None
