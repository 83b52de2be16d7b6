"""The consumer: what leaders send, in order, as records."""
