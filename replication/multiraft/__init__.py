"""Drives many Raft groups on one node: carries out the core's effects over storage and transport."""
