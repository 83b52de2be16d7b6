"""Consumer groups, as a client takes part in them.

| module | does |
|---|---|
| `coordinator_calls` | finds the coordinator of a group and asks it |
"""
