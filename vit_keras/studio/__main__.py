"""Start the studio: `vit-keras studio`, then open http://127.0.0.1:8501."""

import argparse
import importlib.util
import os
import secrets
import sys
from pathlib import Path

from vit_keras.cli.arguments import complete_files, parse, positive_int
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.errors import SettingError
from vit_keras.io.address import check_port, is_loopback
from vit_keras.io.atomic import check_folder

# Among the pages and not above them: beside a folder `pages`, Streamlit takes the files in it for
# the app's pages until "/" has been visited once, and an address such as /runs shows nothing.
APP = Path(__file__).parent / "pages" / "app.py"
PASSWORD = "VIT_KERAS_STUDIO_PASSWORD"
RISK = "--allow-remote"
OLD_RISK = "--let-others-on-the-network-start-programs-here"  # its name in version 0.1
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # names of this computer in a browser's address
MIN_PASSWORD = 12  # characters, if others on the network can try to guess it
UPLOAD_MB = 2000  # of a file


def main() -> None:
    with exit_codes():
        arguments = parse_arguments(sys.argv[1:])
        check(arguments)
    if not is_loopback(arguments.address) and not os.environ.get(PASSWORD):
        os.environ[PASSWORD] = secrets.token_urlsafe(12)
        print(f"password: {os.environ[PASSWORD]}", flush=True)
    if not Path(arguments.root).expanduser().exists():
        print(f"--root={arguments.root} is a new folder, made by the first training", flush=True)
    os.execv(sys.executable, command(arguments))


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The settings of a command line."""
    return parse("studio", add_arguments, words)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = parser.add_argument(
        "--root", default="saved_models", help="where the runs are (%(default)s)"
    )
    complete_files(root)
    parser.add_argument("--port", type=int, default=8501, help="(%(default)s)")
    parser.add_argument(
        "--address", default="127.0.0.1", help=f"address to listen on; others need {RISK}"
    )
    parser.add_argument(
        "--upload-mb",
        type=positive_int,
        default=UPLOAD_MB,
        help="largest file that a browser may upload, in MB; the studio holds it in memory until "
        "it is written to its folder (%(default)s)",
    )
    browse = parser.add_argument(
        "--browse",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders in which images can be chosen by a dialog (this folder, and the home folder)",
    )
    complete_files(browse)
    parser.add_argument(
        RISK,
        action="store_true",
        dest="is_open",
        help=f"listen on --address, unencrypted, behind the password in {PASSWORD}, or a random "
        "one that is printed",
    )
    parser.add_argument(OLD_RISK, action="store_true", dest="is_open", help=argparse.SUPPRESS)


def check(arguments: argparse.Namespace) -> None:
    """Refuse a studio that cannot be started, or that is open to others without consent.

    Raises:
        SettingError: naming the option, its value and the way out.
    """
    for package in ("streamlit", "psutil"):
        if importlib.util.find_spec(package) is None:
            raise SettingError(f'{package} is not installed; pip install "vit-keras-lab[studio]"')
    if not is_loopback(arguments.address) and not arguments.is_open:
        raise SettingError(
            f"--address={arguments.address} allows others on the network to start programs on this "
            f"computer; leave it out, or add {RISK}"
        )
    if not is_loopback(arguments.address) and 0 < len(os.environ.get(PASSWORD, "")) < MIN_PASSWORD:
        raise SettingError(
            f"{PASSWORD} has fewer than {MIN_PASSWORD} characters, too few for an open network; "
            "choose a longer one, or unset it to use a random one"
        )
    check_folder(f"--root={arguments.root}", Path(arguments.root))
    for folder in arguments.browse:
        if not Path(folder).expanduser().is_dir():
            raise SettingError(f"--browse={folder} is no folder; name one that is there")
    check_port(arguments.address, arguments.port, "studio")


def command(arguments: argparse.Namespace) -> list[str]:
    """The command that starts Streamlit, which sends no usage statistics."""
    settings = {
        "server.address": arguments.address,
        "server.port": arguments.port,
        "server.headless": "true",  # opens no browser
        "server.enableCORS": "true",  # refuses connections from pages of other sites
        "server.enableXsrfProtection": "true",
        "server.maxUploadSize": arguments.upload_mb,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",  # no traceback on a page
        "client.toolbarMode": "minimal",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    if is_loopback(arguments.address):  # against DNS rebinding by another site
        options += [f"--server.allowedHosts={host}" for host in LOOPBACK]
    root = str(Path(arguments.root).absolute())
    browsed = [str(Path(folder).expanduser().absolute()) for folder in _browsed(arguments)]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *options, "--", root, *browsed]


def _browsed(arguments: argparse.Namespace) -> list[str]:
    """The folders to choose images in: this one and the home folder, unless others are named."""
    return arguments.browse or list(dict.fromkeys([os.getcwd(), os.path.expanduser("~")]))


if __name__ == "__main__":
    main()
