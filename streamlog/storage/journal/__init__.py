"""The node's journal: one sequential file for the writes of every group.

`frame` is the format, `journal_file` one file of fixed size, `journal` appends and flushes,
`scan` reads what a crash left.
"""
