"""`fluss-simulator broker`: a broker for a bench, until Ctrl-C."""

import asyncio
import contextlib
import logging
import signal

import click

from simulator import broker as bench
from simulator import exits


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=1883, show_default=True, help="0 takes a free one.")
def command(port: int) -> int:
    """An MQTT broker for a bench, on this machine alone, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(port))
    return exits.OK


async def _serve(port: int) -> None:
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    bench.log.setLevel(logging.INFO)
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with bench.BenchBroker(port) as broker:
        click.echo(
            f"A bench's broker (amqtt, in this process) on {broker.url}\n"
            "It listens on this machine alone, lets everybody in, and speaks only MQTT 3.1.1:\n"
            f'  a gateway needs  host = "{broker.host}", port = {broker.port}, protocol = "3.1.1"  under [mqtt]\n'
            f"  the cloud needs  --broker {broker.url} --protocol 3.1.1\n"
            "It keeps everything in memory. Ctrl-C ends it."
        )
        await stop.wait()
