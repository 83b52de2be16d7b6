"""Are the operations on one key linearizable, each at one moment between its call and its end?

The search is porcupine's (github.com/anishathalye/porcupine), in the small Go program `search/`.
`operations` says what it is given, `search` runs it, `python -m jepsen_like.linearizability` does
so for a file. `clients` records operations on a real cluster.
"""
