"""Take a promotion back: `vit-keras rollback signs`."""

import argparse

from vit_keras.cli import arguments
from vit_keras.cli.promote import add_name, check_registry, uri_of
from vit_keras.registry.models import RegisteredModels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def main() -> None:
    arguments.run("rollback", add_arguments, check_registry, rollback, imports_keras=False)


def rollback(settings: argparse.Namespace) -> None:
    from vit_keras.registry import promote

    was, now = promote.rollback(settings.name, RegisteredModels(uri_of(settings)))
    print(f"{now} is the champion again, instead of version {was.number}")
