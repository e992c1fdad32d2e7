"""Proxy: a bad network between a service and its server: a TCP proxy on loopback in its own thread.

    proxy = Proxy(mesh.port)                         # listens on proxy.port, passes everything
    mesh.flags["order-svc"] = ["--server", proxy.url]
    proxy.partition(); …; proxy.heal()

Until heal() the proxy can, for all connections: hold one or both directions, delay, pass small
pieces, or stall at random, as TCP does after lost packets. reset() closes all connections once, by
RST. hold_back() keeps the data of the present clients, strand() then closes their connections, and
deliver() passes the data to the server after all: late, after the clients have reconnected.
"""
import asyncio
import contextlib
import random
import socket
import struct
import sys
import threading

PIECE = 65536
TO_SERVER, TO_CLIENT = "to server", "to client"


class Way:
    """How the proxy treats one direction."""

    def __init__(self):
        self.open = asyncio.Event()
        self.open.set()
        self.piece, self.delay_s, self.loss = PIECE, 0.0, 0.0


class Proxy:
    def __init__(self, server_port, seed=1):
        self.server_port, self.random = server_port, random.Random(seed)
        self.loop = asyncio.new_event_loop()
        self.ways, self.writers, self.carried = {}, set(), {TO_SERVER: 0, TO_CLIENT: 0}
        self.gates, self.held = {}, [
        ]  # a client's writer and what lets its words pass; those held back
        self.port, started = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()
        self.url = f"nats://127.0.0.1:{self.port}"

    # ---- The thread

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        self.ways = {TO_SERVER: Way(), TO_CLIENT: Way()}
        listener = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = listener.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def serve(self, reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        pair = {writer, server_writer}
        self.writers |= pair
        gate = self.gates[writer] = asyncio.Event()
        gate.set()
        await asyncio.gather(self.carry(reader, server_writer, TO_SERVER, gate),
                             self.carry(server_reader, writer, TO_CLIENT))
        self.writers -= pair
        del self.gates[writer]

    async def carry(self, reader, writer, direction, gate=None):
        way = self.ways[direction]
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                await way.open.wait()
                if gate:
                    await gate.wait()
                size = way.piece  # for all of this piece, whatever is said meanwhile
                for at in range(0, len(data), size):
                    if way.loss and self.random.random() < way.loss:
                        await asyncio.sleep(self.random.uniform(0.2, 0.6))       # a retransmission
                    if way.delay_s:
                        await asyncio.sleep(way.delay_s)
                    await way.open.wait()
                    piece = data[at:at + size]
                    writer.write(piece)
                    await writer.drain()
                    self.carried[direction] += len(piece)
        with contextlib.suppress(OSError):
            writer.close()

    # ---- What a test says

    def call(self, function):
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (function(), done.set()))
        done.wait()

    def hold(self, *directions):
        """Nothing passes any more in these directions; the connections stay."""
        self.call(lambda: [self.ways[direction].open.clear() for direction in directions])

    def partition(self):
        self.hold(TO_SERVER, TO_CLIENT)

    def treat(self, piece=PIECE, delay_s=0.0, loss=0.0):
        """Both ways: pieces of so many bytes, each so much later, and lost so often."""
        def change():
            for way in self.ways.values():
                way.piece, way.delay_s, way.loss = piece, delay_s, loss
        self.call(change)

    def hold_back(self):
        """What the clients of this moment say from now on is kept."""
        self.call(lambda: (self.held.extend(self.gates.items()),
                           [gate.clear() for _, gate in self.held]))

    def strand(self):
        """Those clients are broken off; the server does not know."""
        self.call(lambda: [writer.transport.abort() for writer, _ in self.held])

    def deliver(self):
        """What they said reaches the server now."""
        self.call(lambda: ([gate.set() for _, gate in self.held], self.held.clear()))

    def reset(self):
        """All connections break at once, by RST."""
        def change():
            for writer in list(self.writers):
                sock = writer.get_extra_info("socket")
                if sock is not None:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        self.call(change)

    def heal(self):
        self.treat()
        self.call(lambda: [way.open.set() for way in self.ways.values()])


def main():
    """proxy.py SERVER_PORT: prints its own port, then obeys each line of standard input: partition,
    deaf (nothing reaches the client), mute (nothing reaches the server), slow, lossy, bytes, reset,
    heal. Ends with its input."""
    proxy = Proxy(int(sys.argv[1]))
    print(proxy.port, flush=True)
    commands = {
        "partition": proxy.partition, "deaf": lambda: proxy.hold(TO_CLIENT),
        "mute": lambda: proxy.hold(TO_SERVER), "slow": lambda: proxy.treat(delay_s=0.05),
        "lossy": lambda: proxy.treat(piece=1400, loss=0.1), "bytes": lambda: proxy.treat(piece=7),
        "reset": proxy.reset, "heal": proxy.heal,
    }
    for line in sys.stdin:
        commands[line.strip()]()


if __name__ == "__main__":
    main()
