"""A TCP proxy that adds latency: ``python3 -m tests.virtual.delay ADDRESS PORT TARGET_PORT MS``.

It adds MS milliseconds to each round trip, half in each direction, however much data is in flight. As on a real
network, the target sees a new connection one and a half round trips after the client opens it (SYN, SYN-ACK, ACK).
"""

import asyncio
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Copy a stream, including its end, ``delay`` seconds late."""
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(65536):
            loop.call_later(delay, writer.write, data)
    finally:
        loop.call_later(delay, writer.close)


async def serve(address: str, port: int, target_port: int, round_trip: float) -> None:
    """Forward connections at ``address:port`` to ``address:target_port``; ``round_trip`` is in seconds."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.5 * round_trip)
        far_reader, far_writer = await asyncio.open_connection(address, target_port)
        pumps = pump(reader, far_writer, round_trip / 2), pump(far_reader, writer, round_trip / 2)
        await asyncio.gather(*pumps, return_exceptions=True)

    async with await asyncio.start_server(handle, address, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000))
