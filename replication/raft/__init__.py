"""The Raft core: one replica of one group, without I/O, clock or randomness."""
