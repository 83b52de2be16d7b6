"""Replication by Raft: a sans-I/O core, a driver for many groups, and a runtime of state machines."""
