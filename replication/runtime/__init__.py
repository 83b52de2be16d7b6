"""Runs replicated state machines on Raft groups."""
