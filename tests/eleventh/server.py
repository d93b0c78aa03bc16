"""Plays the conversation beside it to whoever connects: waits for what a client must say, sends what came then.

Rows `out` are the client's, rows `in` the exchange's, at the pace of their times; then signs of life until the end.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

ROWS = [json.loads(line) for line in Path(__file__).with_name("conversation.jsonl").read_text().splitlines()]
ALIVE, ALIVE_SECONDS = ".", 0.2


async def play(socket: ServerConnection) -> None:
    before = ROWS[0]["received_at"]
    for row in ROWS:
        await asyncio.sleep(row["received_at"] - before)
        before = row["received_at"]
        if row["dir"] == "in":
            await socket.send(row["frame"])
        elif row["dir"] == "out" and (said := await socket.recv()) != row["frame"]:
            await socket.close(4000, f"expected {row['frame']}, got {said!r}"[:120])
    while True:
        await socket.send(ALIVE)
        await asyncio.sleep(ALIVE_SECONDS)


async def conversation(socket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        await play(socket)


async def main(port: int) -> None:
    async with serve(conversation, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1])))
