"""Commands about one node or a cluster on this machine: start it, and look at its settings."""
