"""raftos 0.2.6 under the checkers: three nodes of it, killed leaders, and what became of its writes.

It is the known-unsafe baseline of ADR 7: a tester that does not convict it is worth little. It
lives in a virtual environment of its own (`environment`), each node in a process (`node`, which
imports nothing of this project) that `cluster` starts, asks and kills. `trial` makes the history,
the checkers of `jepsen_like.checkers` judge it.
"""
