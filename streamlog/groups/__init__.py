"""Consumer groups on a node: runs the pure coordinators of `consumer_groups` on real partitions.

| module | does |
|---|---|
| `machine` | the coordinator as a state machine of `replication.runtime` |
| `offsets_topic` | makes `__consumer_offsets`, and says which partition has a group |
| `catalogs` | the topics of the cluster, as coordinators are told them |
| `sessions` | what waits to be sent to one connected member |
| `counters` | what coordinators count |
| `findings` | what somebody should look at in a group |
| `leading` | what a leader knows beside the log: timers, streams, topics to look at |
| `coordinator` | one replica of a partition of `__consumer_offsets` |
| `groups` | all coordinators of a node |
| `survey` | how the groups of a node are, for metrics and alarms |

It knows no wire format and no status codes: those are the broker's. It raises GroupError (a
refusal by the rules of groups), errors of replication, and StreamlogError for what is the node's.

What is pushed to members follows from what was applied, not from answers to commands: a command
whose caller went away, or whose answer got lost, is told to the others all the same, in the order
of the log.
"""
