"""The clients that do the work, each a process of its own that prints one JSON object."""
