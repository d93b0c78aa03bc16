"""Plays the conversation beside it to whoever connects: waits for what a client must say, sends what came then.

Rows `out` are the client's, rows `in` the exchange's, at the pace of their times; then signs of life until the end.
Where it pauses for a second or more it goes on when the file of the second argument (if any) is there: so whoever
looks at what comes of it has seen all before the pause by then, however slow the machine is.
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
PAUSE_SECONDS, GATE = 1.0, Path(sys.argv[2] if len(sys.argv) > 2 else "/")


async def play(socket: ServerConnection) -> None:
    before = ROWS[0]["received_at"]
    for row in ROWS:
        await asyncio.sleep(row["received_at"] - before)
        while row["received_at"] - before >= PAUSE_SECONDS and not GATE.exists():
            await asyncio.sleep(0.05)
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
