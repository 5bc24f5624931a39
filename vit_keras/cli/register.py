"""Register a run as the challenger of a model: `vit-keras register RUN --name signs`."""

import argparse

from vit_keras.cli import arguments
from vit_keras.cli.track import add_store
from vit_keras.predict import engines
from vit_keras.registry.models import check_name
from vit_keras.registry.package import check_packable
from vit_keras.runs.saved_run import open_run
from vit_keras.tracking import store
from vit_keras.tracking.sync import RunSync


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--name", required=True, help="of the model, such as signs")
    add_store(parser, "where the run was sent before, or as its settings say")


def main() -> None:
    arguments.run("register", add_arguments, check, register, imports_keras=False)


def check(settings: argparse.Namespace) -> None:
    """Refuse a run that cannot be registered, before anything is exported or sent."""
    check_name(settings.name)
    saved = open_run(settings.run)
    store.check_store(RunSync(saved.path, settings.uri).state.uri, "uri")
    check_packable(saved)
    engines.check_engine(saved, engines.ONNX)


def register(settings: argparse.Namespace) -> None:
    from vit_keras.logs import console
    from vit_keras.registry import promote

    with console():
        version, is_new = promote.register(settings.run, settings.name, settings.uri)
    how = "registered as" if is_new else "is already"
    print(f"{settings.run} {how} {version}, models:/{version.name}/{version.number}")
