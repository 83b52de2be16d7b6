"""The two halves of a streaming call, side by side.

One task reads what the client asks, another writes what it gets. Whichever fails ends the call at
once: a writer that died must not leave a client waiting in a call where nothing comes any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from streamlog.broker.error_mapping import to_call_failed
from streamlog.model.errors import StreamlogError


async def run_duplex(
    reader: Coroutine[Any, Any, None], writer: Coroutine[Any, Any, None], *, drain: bool
) -> None:
    """Run both until the client has no more; with `drain` until the writer has ended, too.

    Raises CallFailed for a StreamlogError of either, and whatever else they raise.
    """
    loop = asyncio.get_running_loop()
    reading, writing = loop.create_task(reader), loop.create_task(writer)
    tasks = (reading, writing)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            reading.result()
            if drain:
                await asyncio.wait((writing,))
        if writing.done():
            writing.result()
    except StreamlogError as error:
        raise to_call_failed(error) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
