"""Ways to a server that take their time, or end at the wrong moment."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class SlowProxy:
    """Passes on what a TCP server says, `seconds` late each time."""

    def __init__(self, port: int, seconds: float) -> None:
        self.server_port = port
        self.seconds = seconds
        #: Pieces that were passed on to a client.
        self.answers = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> SlowProxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: Any) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _work(self) -> None:
        loop = self._loop
        server = loop.run_until_complete(
            asyncio.start_server(self._pass, "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _pass(self, reader: Any, writer: Any) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, back, 0.0))
                group.create_task(self._copy(there, writer, self.seconds))
        except* OSError:
            pass
        finally:
            back.close()
            writer.close()

    async def _copy(self, source: Any, target: Any, seconds: float) -> None:
        while piece := await source.read(65536):
            await asyncio.sleep(seconds)
            target.write(piece)
            await target.drain()
            self.answers += seconds > 0
        raise ConnectionResetError


class CommitCutter(SlowProxy):
    """Passes on what MySQL's protocol says, but for the answer to a COMMIT: hangs up."""

    def __init__(self, port: int) -> None:
        super().__init__(port, 0.0)
        #: COMMITs that were done and not answered.
        self.cut = 0

    async def _pass(self, reader: Any, writer: Any) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        committing = asyncio.Event()

        async def ask() -> None:
            while piece := await reader.read(65536):
                # Behind the length of the packet and its number: a query.
                if piece[4:].lower() == b"\x03commit":
                    committing.set()
                back.write(piece)
            raise ConnectionResetError

        async def answer() -> None:
            while piece := await there.read(65536):
                if committing.is_set():
                    self.cut += 1
                    break
                writer.write(piece)
            raise ConnectionResetError

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ask())
                group.create_task(answer())
        except* OSError:
            pass
        finally:
            back.close()
            writer.close()
