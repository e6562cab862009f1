"""A TCP proxy that adds latency. No byte is lost.

``python3 -m tests.virtual.delay ADDRESS PORT TARGET_PORT MS`` adds MS milliseconds to each round trip, half in each
direction. The delay does not depend on how much data is in flight. As on a real network, the target sees a new
connection one and a half round trips after the client opens it (SYN, SYN-ACK, ACK).
"""

import asyncio
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Copy a stream, including its end, ``delay`` seconds late."""
    loop = asyncio.get_running_loop()
    # Bounded, so that a fast sender is slowed down instead of filling the memory.
    late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

    async def receive() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            await late.put((loop.time() + delay, data))

    receiver = asyncio.create_task(receive())
    try:
        while True:
            due, data = await late.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, OSError):
        writer.close()  # ends the other direction too
    finally:
        receiver.cancel()


async def serve(address: str, port: int, target_port: int, round_trip: float) -> None:
    """Forward connections at ``address:port`` to ``address:target_port``; ``round_trip`` is in seconds."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.5 * round_trip)
        try:
            far_reader, far_writer = await asyncio.open_connection(address, target_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer, round_trip / 2), pump(far_reader, writer, round_trip / 2))
        far_writer.close()
        writer.close()

    server = await asyncio.start_server(handle, address, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000))
