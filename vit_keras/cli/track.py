"""Send runs to MLflow: `vit-keras track saved_models/digits`."""

import argparse
import sys
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.errors import SettingError
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import open_run
from vit_keras.text import counted, one_line
from vit_keras.tracking import store
from vit_keras.tracking.state import locked
from vit_keras.tracking.sync import RunSync


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs = parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of runs, tracked in their training or not"
    )
    arguments.complete_files(runs)
    add_store(parser, "where the run was sent before, or as its settings say")
    parser.add_argument("--experiment", help="of MLflow (the recipe's name)")


def add_store(parser: argparse.ArgumentParser, default: str) -> None:
    """The argument `--uri`, the store of MLflow."""
    parser.add_argument(
        "--uri", help=f"MLflow's store, http://host:port or sqlite:///file.db ({default})"
    )


def main() -> None:
    arguments.run("track", add_arguments, check, track, imports_keras=False)


def check(settings: argparse.Namespace) -> None:
    """Refuse what is no run, and a store that cannot be used."""
    if settings.uri is not None:
        store.check_store(settings.uri, "uri")
    for run in settings.runs:
        open_run(run)
        store.check_store(_sync(run, settings).state.uri, "uri")


def _sync(run: str, settings: argparse.Namespace) -> RunSync:
    return RunSync(Path(run).expanduser().resolve(), settings.uri, settings.experiment)


def track(settings: argparse.Namespace) -> None:
    """Send each run.

    Raises:
        SettingError: one is being trained, or could not be sent; the others are.
    """
    faults = []
    for run in settings.runs:
        held = Run(Path(run).expanduser().resolve())  # a training sends by itself
        try:
            with locked(held.path):
                sync = _sync(run, settings)
                fault = sync.send(is_end=True)
        finally:
            held.close()
        if fault:
            faults.append(fault)
            print(f"{one_line(run)}: {one_line(fault)}", file=sys.stderr)
        else:
            sent, uri = counted(sync.state.epochs, "epoch[s]"), sync.state.uri
            print(f"{one_line(run)}: MLflow run {sync.state.run_id} with {sent} ({uri})")
    if faults:
        raise SettingError(
            f"{counted(len(faults), 'run[s] [is|are]')} not sent ({one_line(faults[0])}); try again"
        )
