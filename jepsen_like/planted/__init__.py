"""Planted bugs: a tester is worth what it catches.

Each bug breaks one rule that real systems have broken. It is a patch of the node's source beside
these modules, `NAME.patch`, which is applied as the changed module is imported (`patch`,
`planter`). The head of a patch says which rule it breaks and how it is looked for (`bugs`): by
simulated seeds, in the states that a crash may leave of the storage engine's disk, or by one test
(`search`). `python -m jepsen_like.planted NAME` does so until it knows; a test does it for each.

Rules whose breach shows only in rare interleavings (votes before they are durable, earlier terms
committed by counting, completions by offset) are planted in the random lives of the core instead
(`tests/properties/raft`), which take a thousand times as many steps a second. What breaks only in
a power cut at a bad moment is looked for in crash states, and what few seeds meet by a test of its
own.
"""
