"""Addresses to listen on."""

import ipaddress
import socket

from vit_keras.errors import SettingError


def is_loopback(address: str) -> bool:
    """Whether only this computer reaches what listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def url(address: str, port: int) -> str:
    """`::1`, 8000 -> `http://[::1]:8000`."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def check_port(address: str, port: int, what: str) -> None:
    """Refuse an address that cannot be listened on.

    Args:
        address: of this computer.
        port: of it.
        what: is to listen there, such as `studio`.

    Raises:
        SettingError: naming both options.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except (OSError, OverflowError) as error:
            raise SettingError(
                f"--address={address} --port={port} cannot be listened on ({error}); choose "
                f"another --port, or use the {what} that already runs there"
            ) from None
