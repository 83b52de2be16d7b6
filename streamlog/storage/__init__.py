"""A node's logs on disk: journal, segments, indexes, recovery."""
