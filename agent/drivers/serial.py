"""The hardware line over a serial port: 8 data bits, no parity, 1 stop bit, raw, no flow control."""

import asyncio
import errno
from typing import Final

import serialx

from agent.config_drivers import Serial
from agent.drivers.contact import Lost
from agent.drivers.line import Wire

_OPEN_S: Final = 5.0


async def dial(port: Serial) -> Wire:
    """Open a serial port, for us alone. Raises Lost."""
    try:
        async with asyncio.timeout(_OPEN_S):
            return await serialx.open_serial_connection(port.device, baudrate=port.baud)
    except (serialx.UnsupportedSetting, RuntimeError) as error:  # the latter where a port forgets an unusual speed
        raise Lost(f"{port.device} does not work at {port.baud} baud: check `driver`") from error
    except OSError as error:
        raise Lost(_failure(port, error)) from error


def _failure(port: Serial, error: OSError) -> str:
    match error:
        case FileNotFoundError() | OSError(errno=errno.ENXIO | errno.ENODEV):
            return f"{port.device} is not there: check `driver`, and that the cable is plugged in"
        case PermissionError():
            return f"{port.device} may not be used by this user: it must be in the group of the port, often dialout"
        case OSError(errno=errno.EBUSY):
            return f"{port.device} is in use by another program: end it, or take another port"
        case IsADirectoryError() | OSError(errno=errno.ENOTTY):
            return f"{port.device} is no serial port: check `driver`"
        case TimeoutError():
            return f"{port.device} does not open: unplug the adapter, and plug it in again"
        case _:
            return f"{port.device} cannot be opened: {error.strerror or error}"
