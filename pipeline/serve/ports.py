"""Taking a port before it is needed, and saying who holds it where that fails."""

from __future__ import annotations

import errno
import socket

import psutil

from pipeline.core.errors import BusyError, PipelineError

_HOST_REMEDY = "set serve.host to an address of this machine (127.0.0.1) and a port above 1023"


def reserve(host: str, port: int | None) -> socket.socket | None:
    """A socket bound to `port` that does not listen yet; 0 takes a free one, None gives None.

    Raises:
        BusyError: The port is taken.
        PipelineError: The address is none of this machine, or the port is not allowed.
    """
    if port is None:
        return None
    try:
        family, kind, protocol, _, address = sorted(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
            key=lambda found: found[0] != socket.AF_INET,
        )[0]
        reserved = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PipelineError(
            f"the address {host} cannot be used: {error}", remedy=_HOST_REMEDY
        ) from error
    # A port in TIME_WAIT is free; one that another server listens on is still refused.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind(address)
    except OSError as error:
        reserved.close()
        if error.errno == errno.EADDRINUSE:
            raise port_taken(host, port) from error
        raise PipelineError(
            f"cannot listen on {host}:{port}: {error.strerror}", remedy=_HOST_REMEDY
        ) from error
    return reserved


def check_ports(host: str, *ports: int | None) -> None:
    """Raises what `reserve` raises where one of the ports cannot be listened on now."""
    for port in ports:
        if reserved := reserve(host, port):
            reserved.close()


def port_taken(host: str, port: int) -> BusyError:
    """Says that a port is taken, and by whom as far as the system tells."""
    return BusyError(
        f"port {port} on {host} is in use{_holder(port)}",
        remedy="end that program, or choose another port (0 takes a free one)",
    )


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr[1:] == (port,) and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        return ""
    return ""
