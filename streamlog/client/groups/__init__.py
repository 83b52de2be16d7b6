"""Consumer groups, as a client takes part in them.

| module | does |
|---|---|
| `calls` | what a Consumer with a group can do: subscribe, commit, ask for positions |
| `consumer_group` | the parts below, put together |
| `options` | what the application says and is told |
| `member` | what a member holds under which epochs, and until when (no I/O) |
| `progress` | what was handed out, and what of that is done (no I/O) |
| `commits` | commits on their way, one at a time (no I/O) |
| `committing` | what is committed, when, and under which epoch |
| `link` | the Membership stream: joined, kept alive, joined again elsewhere |
| `rebalance` | what comes and goes: callbacks in order, revocations in time |
| `placer` | finds first offsets beside the reading |
| `positions` | committed positions, asked for and stored by calls |
| `coordinator_calls` | finds the coordinator of a group and asks it |
| `worker` | hands records to handlers, keys side by side, and commits what is done |
| `worker_lanes` | which record may be handled next |
| `worker_progress` | how far a partition may be committed |

Epochs and duties of a member are explained in `docs/protocol.md`.
"""
