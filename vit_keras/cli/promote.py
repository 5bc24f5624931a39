"""Promote a challenger that passes the gate: `vit-keras promote signs --gate gate.yaml`."""

import argparse
import sys

from vit_keras.cli import arguments
from vit_keras.cli.exit_codes import FAILED
from vit_keras.cli.track import add_store
from vit_keras.predict import engines
from vit_keras.registry.models import RegisteredModels, check_name
from vit_keras.runs.listing import ROOT
from vit_keras.text import format_table
from vit_keras.tracking import store

DEFAULT = f"MLFLOW_TRACKING_URI, or mlflow.db in {ROOT}"


def add_name(parser: argparse.ArgumentParser) -> None:
    """The arguments NAME and `--uri` of a registered model."""
    parser.add_argument("name", metavar="NAME", help="of the registered model")
    add_store(parser, DEFAULT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    gate = parser.add_argument(
        "--gate", metavar="FILE", help="limits in YAML, such as max_p_value: 0.05 (the defaults)"
    )
    arguments.complete_files(gate)
    arguments.add_format(
        parser, [*engines.ONNX_FORMATS], "the export that is measured, as it is served"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="decide, and change nothing in the registry"
    )


def main() -> None:
    arguments.run("promote", add_arguments, check, promote, imports_keras=False)


def check(settings: argparse.Namespace) -> None:
    """Refuse a gate or a store that cannot be used."""
    from vit_keras.registry.gate import read_gate  # imports scikit-learn: not for --help

    check_registry(settings)
    settings.limits = read_gate(settings.gate)


def check_registry(settings: argparse.Namespace) -> None:
    """Refuse a name that is none, and a store that cannot be used."""
    check_name(settings.name)
    store.check_store(uri_of(settings), "uri")


def uri_of(settings: argparse.Namespace) -> str:
    """The store that a command names, or the default one."""
    return settings.uri or store.default_store(ROOT)


def promote(settings: argparse.Namespace) -> None:
    from vit_keras.registry import promote as registry

    models = RegisteredModels(uri_of(settings))
    done = registry.promote(
        settings.name, settings.limits, models, settings.dry_run, settings.format
    )
    rows = [
        ("passed" if one.passed else "FAILED", one.name, one.figures)
        for one in done.decision.checks
    ]
    print(format_table(rows))
    against = f", instead of version {done.champion.number}" if done.champion else ""
    if not done.decision.passed:
        print(f"error: {done.challenger} is refused: {done.decision.reason}", file=sys.stderr)
        sys.exit(FAILED)
    what = "would be" if settings.dry_run else "is"
    print(f"{done.challenger} {what} the champion{against}")
