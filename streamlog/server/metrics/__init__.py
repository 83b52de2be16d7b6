"""What operators see of a node: its counters, a survey of its replicas, and their text form.

| module | what it is |
|---|---|
| `counters` | everything that is counted, made once for a node and handed to its parts |
| `measured_disk`, `measured_services` | the ports' calls, timed and counted on their way through |
| `loop_lag` | how late the event loop is |
| `survey` | how the replicas of the node are, asked when somebody wants to know |
| `catalog` | every metric: its name, kind, labels, meaning and what to do |
| `samples`, `sources` | values of the catalog's metrics, taken from a node |
| `exposition` | samples as Prometheus reads them |
| `documentation` | the catalog as `docs/metrics.md` |

Whatever can be read from state is read at a scrape; only what would be lost is counted. A scrape
takes numbers on the event loop, in slices, and makes text of them on the thread that serves it.
"""
