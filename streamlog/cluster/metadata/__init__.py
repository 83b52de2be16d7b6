"""The metadata of a cluster as a pure state machine: nodes, topics, partitions, producer ids."""
