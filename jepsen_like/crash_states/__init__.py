"""What a power cut may leave of a node's disk, state by state, and whether recovery copes.

A workload runs once on the real store, on a disk that records every operation (`recording_disk`,
`record`). From the record follow the states that a power cut may leave at each of its points
(`losses`, `enumeration`); each is opened, recovered and judged (`judge`) by what had been promised
until then (`promise`). `runs` puts it together, `__main__` is the command.

Source: Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting
Crash-Consistent Applications" (OSDI 2014), which does the same from the traces of system calls.
"""
