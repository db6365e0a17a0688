"""A model server that costs next to nothing: its program, for the benchmarks and the soak."""

from __future__ import annotations

import sys
from pathlib import Path

SERVER = f"""#!{sys.executable} -S
# Answers POST with the body that came. A body may also be a word: `port`, `die`, `hang-up`, `garbage`, `status NNN`.
import asyncio, os, signal
PORT = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        head, end, body = self.data.partition(b"\\r\\n\\r\\n")
        if not end:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\\r\\n")[0]
        if len(body) < int(length or 0):
            return
        self.data = b""
        status = 200
        if len(body) < 20:
            if body == b"port":
                body = b"%d" % PORT
            elif body == b"die":
                os._exit(3)
            elif body == b"hang-up":
                self.transport.close()
                return
            elif body == b"garbage":
                self.transport.write(b"this is not HTTP\\r\\n\\r\\n")
                return
            elif body.startswith(b"status "):
                status = int(body[7:])
        head = b"HTTP/1.1 %d X\\r\\ncontent-type: text/csv\\r\\ncontent-length: %d\\r\\n\\r\\n"
        self.transport.write(head % (status, len(body)) + body)
async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", PORT)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    await server.serve_forever()
try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
"""


def write_image(folder: Path, name: str) -> str:
    """The image `name` among those of `folder` (for `serve --images`); its address."""
    image = folder / name
    image.mkdir(parents=True)
    (image / "serve").write_text(SERVER)
    (image / "serve").chmod(0o755)
    return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:1"
