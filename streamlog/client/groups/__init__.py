"""Consumer groups, as a client takes part in them.

| module | does |
|---|---|
| `coordinator_calls` | finds the coordinator of a group and asks it |
| `worker` | hands records to handlers, keys side by side, and commits what is done |
| `worker_lanes` | which record may be handled next |
| `worker_progress` | how far a partition may be committed |
"""
