"""The real world behind the four ports: asyncio, threads, files, gRPC."""
