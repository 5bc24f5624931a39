"""The address at which JAX's collectives on CPUs (gloo) reach this process from other machines."""

import functools
import ipaddress
import socket
from typing import Any


def use_reachable_address() -> None:
    """Let gloo listen where the other processes reach this one, once JAX's processes have met.

    Gloo takes the address of the host's name. Many systems give a name the address 127.0.0.1 or
    127.0.1.1 in /etc/hosts, which no other machine reaches; it is then replaced by the address of
    the interface on the way to the coordinator.
    """
    # JAX 0.10 has no public way to say it (`jax_cpu_collectives_implementation` names the engine).
    from jax._src import distributed, xla_bridge

    coordinator = distributed.global_state.coordinator_address
    assert coordinator is not None
    if address := reachable_address(coordinator):
        factory = functools.partial(_cpu_client, address)
        xla_bridge.register_backend_factory("cpu", factory, priority=0, fail_quietly=False)


def _cpu_client(address: str) -> Any:
    from jax._src import distributed, xla_bridge
    from jax._src.lib import _jax

    gloo = _jax.make_gloo_tcp_collectives(distributed.global_state.client, address)
    return xla_bridge.make_cpu_client(gloo)


def reachable_address(coordinator: str) -> str | None:
    """This host's address on the way to `coordinator`, `host:port`; None if its name's is right."""
    host, _, port = coordinator.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    family, _, _, _, target = found[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)  # sends nothing
        own = probe.getsockname()[0]
    if _is_loopback(own) or not _is_loopback(_address_of_name(family)):
        return None
    return own


def _address_of_name(family: int) -> str:
    try:
        return str(socket.getaddrinfo(socket.gethostname(), None, family)[0][4][0])
    except socket.gaierror:
        return "127.0.0.1"  # what gloo takes then


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
