"""Serve a run, or a registered model, over HTTP: `vit-keras serve RUN --port 8000`."""

import argparse
import logging
import os
import sys
from dataclasses import fields
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.cli.promote import DEFAULT, uri_of
from vit_keras.cli.track import add_store
from vit_keras.errors import SettingError
from vit_keras.export.preflight import missing_packages
from vit_keras.io import address
from vit_keras.logs import console
from vit_keras.predict import engines
from vit_keras.registry.followed_model import FollowedModel, is_registered
from vit_keras.runs.saved_run import open_run
from vit_keras.serving.options import ServiceOptions
from vit_keras.tracking import store

TOKEN = "VIT_KERAS_TOKEN"
PACKAGES = {
    "fastapi": "fastapi",
    "onnxruntime": "onnxruntime",
    "prometheus-client": "prometheus_client",
    "python-multipart": "python_multipart",
    "uvicorn": "uvicorn",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument(
        "run",
        metavar="RUN",
        help="the folder of a training run, or a registered model such as models:/signs@champion, "
        "which is replaced where the alias moves",
    )
    arguments.complete_files(run)
    add_store(parser, f"of a registered model: {DEFAULT}")
    parser.add_argument("--address", default="127.0.0.1", help="to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
    arguments.add_format(
        parser, [*engines.ONNX_FORMATS], "the file that is served, which is exported if need be"
    )
    parser.add_argument(
        "--coverage",
        type=arguments.share,
        metavar="SHARE",
        help="say of each image whether to abstain, as vit-keras predict --coverage",
    )
    token = parser.add_argument(
        "--token-file", help=f"a file with the token that requests have to bring (or {TOKEN})"
    )
    arguments.complete_files(token)
    for field in fields(ServiceOptions):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help=f"{field.metadata['help']} (%(default)s)",
        )


def main() -> None:
    arguments.run("serve", add_arguments, check, serve, imports_keras=False)


def check(settings: argparse.Namespace) -> None:
    """Refuse a service that cannot be started, before anything is loaded."""
    if missing := missing_packages(PACKAGES):
        raise SettingError(f'{missing[0]} is not installed; pip install "vit-keras-lab[serve]"')
    options_of(settings)
    token_of(settings)
    if is_registered(settings.run):
        store.check_store(uri_of(settings), "uri")
    else:
        engines.check_engine(open_run(settings.run), settings.format)
    address.check_port(settings.address, settings.port, "service")


def options_of(settings: argparse.Namespace) -> ServiceOptions:
    names = [field.name for field in fields(ServiceOptions)]
    return ServiceOptions(**{name: getattr(settings, name) for name in names})


def token_of(settings: argparse.Namespace) -> str | None:
    """The token in the file, or in the environment; not on the command line, which others see."""
    if settings.token_file is None:
        token = os.environ.get(TOKEN)
    else:
        try:
            token = Path(settings.token_file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            raise SettingError(f"--token-file {settings.token_file}: {reason}") from None
    if token is not None and (not token or not token.isascii() or not token.isprintable()):
        raise SettingError(
            f"the token of {settings.token_file or TOKEN} is empty or not a line of ASCII text; "
            "choose another one"
        )
    return token


def serve(settings: argparse.Namespace) -> None:
    import uvicorn

    from vit_keras.serving.app import create_app
    from vit_keras.serving.served_model import ServedModel
    from vit_keras.serving.server import server_settings

    options, token = options_of(settings), token_of(settings)

    def open_model(run: str | Path, version: str | None = None) -> ServedModel:
        pixels = options.max_megapixels
        return ServedModel(run, settings.format, settings.coverage, pixels, version)

    newer = None
    with console(sys.stderr):
        if is_registered(settings.run):
            followed = FollowedModel(uri_of(settings), settings.run, open_model)
            model = followed.open()
            newer = followed.newer if followed.can_move else None
        else:
            model = open_model(settings.run)
    requests = logging.getLogger("vit_keras.serving")
    requests.setLevel(logging.INFO)
    requests.propagate = False
    requests.addHandler(logging.StreamHandler(sys.stderr))
    if token is None and not address.is_loopback(settings.address):
        print(f"WARNING: whoever reaches this computer may use it: set {TOKEN}", file=sys.stderr)
    url = address.url(settings.address, settings.port)
    print(f"{settings.run} is served at {url}; Ctrl-C ends it", flush=True)
    app = create_app(model, options, token, newer)
    uvicorn.run(app, **server_settings(options, settings.address, settings.port))
