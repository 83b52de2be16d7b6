"""Values and formats that every other part of streamlog shares; no I/O, no asyncio."""
