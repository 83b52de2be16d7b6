"""Every metric of a node: what it means, and what to do when it is high.

One list for the scrape, the HELP lines and `docs/metrics.md`; a sample of a name that is not here
is a defect. Labels are bounded: topics (with the replicas of this node), nodes of the cluster,
methods, reasons, kinds of work, and the 500 consumer groups and their 500 partitions with most lag
(of those whose coordinator is this node); never clients.

Names follow Prometheus: base units, `_total` for counters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Kind(Enum):
    """How a metric's values are to be read."""

    COUNTER = "counter"
    """Only grows, from zero at the start of the node."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    """Counts below ascending bounds, and the sum of the values."""
    SUMMARY = "summary"
    """A count and a sum."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric."""

    name: str
    kind: Kind
    meaning: str
    """One or two sentences."""
    advice: str
    """What to do about it."""
    labels: tuple[str, ...] = ()


TOPIC: Final = ("topic",)
NODE: Final = ("node",)
GROUP: Final = ("group",)
METADATA_TOPIC: Final = "(metadata)"
"""Stands for the metadata's log where topics are told apart; no topic can have this name."""

_C, _G, _H, _S = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.SUMMARY

SECTIONS: Final[tuple[tuple[str, tuple[MetricInfo, ...]], ...]] = (
    (
        "Node",
        (
            MetricInfo(
                "streamlog_node_info",
                _G,
                "Always 1; the labels say who the node is and which version it runs.",
                "Compare the versions of all nodes after an upgrade.",
                ("node", "cluster", "rack", "version"),
            ),
            MetricInfo(
                "streamlog_node_healthy",
                _G,
                "1 while the node can go on; 0 after its disk or its metadata failed.",
                "0: read the event node_failed in the log, replace the disk if it names one.",
            ),
            MetricInfo(
                "streamlog_node_ready",
                _G,
                "1 when the node is registered, caught up, and not stopping: what /readyz says.",
                "0 for longer than a restart takes: /readyz names the reasons.",
            ),
            MetricInfo(
                "streamlog_node_uptime_seconds",
                _G,
                "Time since the process made the node.",
                "Falls at every restart; falls that nobody caused are in the service manager's log.",
            ),
            MetricInfo(
                "streamlog_event_loop_lag_seconds",
                _H,
                "How late the event loop was, looked at ten times a second.",
                "Often above 0.1: the node has more work than one core does; move leaders, or"
                " partitions, to other nodes, or give the machine a core for each node.",
            ),
            MetricInfo(
                "streamlog_node_calls_total",
                _C,
                "Calls and streams that began, by method.",
                "Thousands of unary calls a second cost a core: clients should keep streams open.",
                ("method",),
            ),
            MetricInfo(
                "streamlog_node_call_seconds",
                _S,
                "Calls that were answered, and the time they took, by method; streams are not here.",
                "A growing average of CreateTopic and the like: metadata waits for its majority.",
                ("method",),
            ),
            MetricInfo(
                "streamlog_node_streams_open",
                _G,
                "Streams that clients and other nodes hold open, by method.",
                "Each costs memory and descriptors; if it only grows, clients leave streams behind.",
                ("method",),
            ),
            MetricInfo(
                "streamlog_node_errors_total",
                _C,
                "Errors that were told, inside of streams and as ends of calls, by method and"
                " reason.",
                "docs/errors.md says of each reason what to do. NOT_LEADER and"
                " LEADER_NOT_AVAILABLE come in bursts after a change of leaders and are harmless;"
                " OVERLOADED, DISK_FULL and INTERNAL_ERROR are not.",
                ("method", "reason"),
            ),
        ),
    ),
    (
        "Produce",
        (
            MetricInfo(
                "streamlog_produce_batches_total",
                _C,
                "Batches that were stored and acknowledged, by topic.",
                "Records by batches below ten or so: producers should linger longer.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_produce_records_total",
                _C,
                "Records that were stored and acknowledged, by topic.",
                "The rate of the topic; compare it with streamlog_fetch_records_total.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_produce_bytes_total",
                _C,
                "Bytes of their payloads as stored, compressed, by topic.",
                "Times retention.ms this is what the topic will take on each replica's disk.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_produce_duplicates_total",
                _C,
                "Batches that were recognised as stored before, by topic.",
                "Producers retry: look for lost connections, or timeouts shorter than commits.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_produce_latency_seconds",
                _H,
                "From reading a batch to having its result: waits for room, fsyncs and the majority"
                " included.",
                "High while streamlog_commit_latency_seconds is low: the node is at its in-flight"
                " bound, see streamlog_budget_waits_total.",
            ),
            MetricInfo(
                "streamlog_commit_latency_seconds",
                _H,
                "From proposing a batch to its commit: the fsyncs of a majority.",
                "High with a high streamlog_fsync_seconds: this disk; otherwise those of the"
                " followers, or the network between.",
            ),
        ),
    ),
    (
        "Fetch",
        (
            MetricInfo(
                "streamlog_fetch_responses_total",
                _C,
                "Messages with data that were sent to readers, by topic.",
                "Bytes by responses below a few KB: readers should ask for min_bytes.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_fetch_records_total",
                _C,
                "Offsets that readers moved on by, by topic; a control entry counts as one.",
                "Below the rate of produced records: readers fall behind.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_fetch_bytes_total",
                _C,
                "Bytes of batches that were sent to readers, by topic.",
                "The network that readers take; many times the produced bytes: many readers.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_fetch_disk_reads_total",
                _C,
                "Reads for Fetch streams that had to wait for the disk.",
                "High: readers are far behind, beyond the page cache; more memory helps.",
            ),
        ),
    ),
    (
        "Bounds",
        (
            MetricInfo(
                "streamlog_budget_used_bytes",
                _G,
                "Bytes held in memory: unanswered produce requests, reads for fetches,"
                " uncommitted entries, received entries that are not on the disk.",
                "At its limit for long: what drains it is too slow; see commit latency and fsyncs.",
                ("budget",),
            ),
            MetricInfo(
                "streamlog_budget_limit_bytes",
                _G,
                "The bound of each, from the settings.",
                "Raise the setting only when the memory is there.",
                ("budget",),
            ),
            MetricInfo(
                "streamlog_budget_waits_total",
                _C,
                "Times that a stream was not read on because a bound was reached.",
                "Grows: clients are held back; that is what bounds are for, unless it is all the"
                " time. produce_stream: connection.inflight.bytes, produce: node.inflight.bytes,"
                " fetch: fetch.buffer.bytes.",
                ("budget",),
            ),
        ),
    ),
    (
        "Storage",
        (
            MetricInfo(
                "streamlog_fsync_seconds",
                _H,
                "Durable writes, by operation: a flush of the journal, a large append straight to"
                " its segment, an fsync of a file, one of a directory.",
                "journal above some 10 ms: the disk is slow or shared; it bounds the latency of"
                " every acknowledgement. sync may be ten times that without harm.",
                ("operation",),
            ),
            MetricInfo(
                "streamlog_fsync_failures_total",
                _C,
                "Durable writes that failed, by operation.",
                "Any but a full disk stops the node for good: replace the disk.",
                ("operation",),
            ),
            MetricInfo(
                "streamlog_storage_appended_bytes_total",
                _C,
                "Bytes of entries that were taken, as a leader and as a follower.",
                "Compare with the written bytes below: twice is usual, more is overhead.",
            ),
            MetricInfo(
                "streamlog_storage_written_bytes_total",
                _C,
                "Bytes that were written, by kind of file: journal, segment, checkpoint.",
                "journal far above appended bytes: many tiny flushes; producers should batch.",
                ("file",),
            ),
            MetricInfo(
                "streamlog_storage_direct_bytes_total",
                _C,
                "Of the segment bytes those of large appends, which the journal only refers to.",
                "None with large batches: they are below journal.direct.bytes.",
            ),
            MetricInfo(
                "streamlog_storage_unwritten_bytes",
                _G,
                "Journalled bytes that are not yet in their segment files.",
                "Grows without end: the disk takes less than what comes in; OVERLOADED follows.",
            ),
            MetricInfo(
                "streamlog_storage_oldest_write_seconds",
                _G,
                "For how long the longest wait for a durable write has lasted; 0 when none waits.",
                "Above election.timeout.ms the node gives its leaderships up: the disk stalls.",
            ),
            MetricInfo(
                "streamlog_journal_flushes_total",
                _C,
                "Durable writes of the journal.",
                "Frames by flushes says how many writes share one; near 1 under load: the disk is"
                " so fast that nothing gathers, which is fine.",
            ),
            MetricInfo(
                "streamlog_journal_frames_total",
                _C,
                "Entries, votes and truncations that were journalled.",
                "See streamlog_journal_flushes_total.",
            ),
            MetricInfo(
                "streamlog_journal_live_bytes",
                _G,
                "Bytes of the journal that no checkpoint covers.",
                "Near its limit: checkpoints do not keep up; produce is refused as OVERLOADED."
                " Add journal.files, or find what makes fsyncs of segments slow.",
            ),
            MetricInfo(
                "streamlog_journal_limit_bytes",
                _G,
                "Bytes that the journal may have: journal.files times journal.file.bytes.",
                "A restart replays at most so much.",
            ),
            MetricInfo(
                "streamlog_journal_pending_bytes",
                _G,
                "Bytes that wait for the next flush.",
                "High for long: flushes are slow, see streamlog_fsync_seconds.",
            ),
            MetricInfo(
                "streamlog_journal_stalls_total",
                _C,
                "Flushes that had to wait for a journal file.",
                "Grows: add journal.files, or free space on the disk.",
            ),
            MetricInfo(
                "streamlog_checkpoints_total",
                _C,
                "Checkpoints that were taken.",
                "Many a second: the journal is small for what is written; add journal.files.",
            ),
            MetricInfo(
                "streamlog_disk_free_bytes",
                _G,
                "Space left on the disk of the data directory, the reserve included.",
                "Falls towards streamlog_disk_reserve_bytes: shorten retention, or add space.",
            ),
            MetricInfo(
                "streamlog_disk_reserve_bytes",
                _G,
                "Space kept for votes, checkpoints and deletions: disk.reserve.bytes.",
                "With less free space than this, records are refused as DISK_FULL.",
            ),
            MetricInfo(
                "streamlog_topic_disk_bytes",
                _G,
                "Bytes of the replicas on this node, by topic; (metadata) is the metadata's log.",
                "The largest are what shorter retention frees most from.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_topic_segments",
                _G,
                "Segment files of the replicas on this node, by topic.",
                "Many small ones: segment.bytes or segment.ms are low for the topic's rate.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_topic_replicas",
                _G,
                "Replicas on this node, by topic.",
                "Very uneven between nodes: partitions were placed before nodes were added.",
                TOPIC,
            ),
            MetricInfo(
                "streamlog_segment_files_open",
                _G,
                "Segment files that are open.",
                "At its limit with many streamlog_fetch_disk_reads_total: raise open.files.",
            ),
            MetricInfo(
                "streamlog_segment_files_limit",
                _G,
                "Most segment files that are open at a time: open.files.",
                "See streamlog_segment_files_open.",
            ),
            MetricInfo(
                "streamlog_storage_damaged_ranges",
                _G,
                "Segments and snapshots that could not be read back and are not mended yet, as far"
                " as they were met since the start.",
                "Above 0 for minutes: no replica has them sound and at hand; the event"
                " repair_postponed says what each node answered, `streamlog cluster status` which"
                " partitions they are of. A restart only forgets them until they are read again.",
            ),
            MetricInfo(
                "streamlog_storage_damaged_ranges_found_total",
                _C,
                "Those that were found, by readers, by repair and by scrubbing.",
                "One now and then: nothing. Several on one node: its disk is failing, replace it.",
            ),
            MetricInfo(
                "streamlog_storage_damaged_ranges_mended_total",
                _C,
                "Those that were replaced by another replica's copy, or written anew.",
                "Found ones that are neither mended nor open were let go with their log, or part"
                " of it, or a whole copy of it came.",
            ),
            MetricInfo(
                "streamlog_scrub_bytes_total",
                _C,
                "Bytes that scrubbing read.",
                "Divide streamlog_topic_disk_bytes by its rate: so long takes a round. More than"
                " scrub.interval.ms: raise scrub.bytes.per.second.",
            ),
            MetricInfo(
                "streamlog_scrub_rounds_total",
                _C,
                "Rounds of scrubbing that ended, by result: complete (each log was read to its"
                " end, damaged ranges apart), incomplete.",
                "No complete one for longer than scrub.interval.ms and a round take: rot goes"
                " unnoticed where nobody reads. With incomplete ones, events scrub_interrupted"
                " name logs and reasons.",
                ("result",),
            ),
        ),
    ),
    (
        "Replication",
        (
            MetricInfo(
                "streamlog_partitions",
                _G,
                "Replicas on this node by state: led (here), followed (a live node leads),"
                " without_leader (no live leader is known), failed (stopped for good).",
                "without_leader for longer than an election (some seconds): a majority is down or"
                " cut off. failed: read the log; the replica must be replaced.",
                ("state",),
            ),
            MetricInfo(
                "streamlog_partitions_under_replicated",
                _G,
                "Partitions led here, of which another replica is down, blank or far behind.",
                "Above 0: the next failure may stop them. Find the node in"
                " streamlog_replication_peer_connected and streamlog_replication_lag_records.",
            ),
            MetricInfo(
                "streamlog_partitions_not_caught_up",
                _G,
                "Replicas on this node by reason: behind, unheard (the leader did not tell yet how"
                " far it is), installing (a whole copy comes), missing (not created yet), lost (is"
                " gone, or its journal is damaged).",
                "Wait while behind and installing fall. lost: the disk lost data.",
                ("reason",),
            ),
            MetricInfo(
                "streamlog_replication_lag_records",
                _G,
                "Offsets that replicas on another node lack of what is led here, by that node.",
                "Grows: that node or the way to it is too slow.",
                NODE,
            ),
            MetricInfo(
                "streamlog_replication_partition_lag_records",
                _G,
                "The most that a replica of a partition led here lacks; the 50 worst only.",
                "See streamlog_replication_lag_records.",
                ("topic", "partition"),
            ),
            MetricInfo(
                "streamlog_replication_own_lag_records",
                _G,
                "Offsets that the replicas of this node lack of what their leaders committed.",
                "Grows: this node is too slow; compare its fsyncs with those of others.",
            ),
            MetricInfo(
                "streamlog_replication_peer_connected",
                _G,
                "1 while the control stream to the node stands.",
                "0: the node is down, cut off, or refuses this one (its log says why).",
                NODE,
            ),
            MetricInfo(
                "streamlog_replication_queue_bytes",
                _G,
                "Bytes of entries that wait to be sent to the node.",
                "High for long: the network to the node, or the node, is too slow.",
                NODE,
            ),
            MetricInfo(
                "streamlog_elections_started_total",
                _C,
                "Elections that this node began because no leader was heard.",
                "Grows without failures: the network or a loaded machine loses heartbeats; see"
                " streamlog_event_loop_lag_seconds, or raise election.timeout.ms.",
            ),
            MetricInfo(
                "streamlog_elections_won_total",
                _C,
                "Leaderships that began here, those handed over included.",
                "See streamlog_elections_started_total.",
            ),
            MetricInfo(
                "streamlog_leaderships_lost_total",
                _C,
                "Leaderships that ended here, those handed over included.",
                "See streamlog_elections_started_total.",
            ),
            MetricInfo(
                "streamlog_replication_installs_total",
                _C,
                "Logs on this node that were replaced by a copy of the leader's.",
                "Grows in normal work: retention removes what slow replicas still need.",
            ),
            MetricInfo(
                "streamlog_replication_copied_bytes_total",
                _C,
                "Bytes that this node copied to new replicas on other nodes, before they voted.",
                "Its rate stays below move.bytes.per.second; stands still while partitions move:"
                " `streamlog partition moves` names what they wait for.",
            ),
            MetricInfo(
                "streamlog_replication_dropped_messages_total",
                _C,
                "Messages for replicas that are not on this node.",
                "Some come with creations and deletions; a steady rate: nodes differ in metadata.",
            ),
        ),
    ),
    (
        "Consumer groups",
        (
            MetricInfo(
                "streamlog_groups",
                _G,
                "Consumer groups that this node coordinates by phase: empty, stable, reconciling."
                " Looked at each groups.survey.ms, as the lag and the alarms below.",
                "reconciling for longer than rebalances take: `streamlog group describe` names the"
                " members that have yet to give something up.",
                ("phase",),
            ),
            MetricInfo(
                "streamlog_groups_members",
                _G,
                "Members of all groups that this node coordinates.",
                "Falls without anybody's doing: see streamlog_groups_rebalances_total.",
            ),
            MetricInfo(
                "streamlog_groups_commits_total",
                _C,
                "Commits that took effect, of groups that this node coordinates; resets count.",
                "Some hundreds a second and more of one group: its members should commit less"
                " often, and more at a time.",
            ),
            MetricInfo(
                "streamlog_groups_committed_positions_total",
                _C,
                "Positions in these commits.",
                "See streamlog_groups_commits_total.",
            ),
            MetricInfo(
                "streamlog_groups_rebalances_total",
                _C,
                "Times that a group's epoch moved, by cause: member_joined, member_returned,"
                " subscription_changed, member_left, session_expired, rebalance_timed_out,"
                " no_progress, topics_changed, offsets_reset.",
                "session_expired and rebalance_timed_out grow: members are slow, cut off, or are"
                " killed instead of stopped.",
                ("cause",),
            ),
            MetricInfo(
                "streamlog_groups_members_stalled",
                _G,
                "Members that are alive, own partitions, and have handled nothing for longer than"
                " groups.alarm.no.progress.ms.",
                "Above 0: `streamlog group describe` names them; see what their handlers wait for."
                " groups.no.progress.ms expires such members.",
            ),
            MetricInfo(
                "streamlog_groups_partitions_unowned",
                _G,
                "Partitions that a group subscribes to and that nobody has owned for longer than"
                " groups.alarm.unowned.ms.",
                "Above 0: nobody reads them; `streamlog group describe` tells who holds a"
                " rebalance up.",
            ),
            MetricInfo(
                "streamlog_groups_positions_unmeasured",
                _G,
                "Positions whose lag is not known: their leaders did not answer, or there are more"
                " than 20,000 on this node.",
                "Above 0 for long: the lag below is too low; see streamlog_partitions for"
                " partitions without a leader.",
            ),
            MetricInfo(
                "streamlog_groups_survey_age_seconds",
                _G,
                "Since the groups were looked at last.",
                "Many times groups.survey.ms: the node has more work than it can do.",
            ),
            MetricInfo(
                "streamlog_group_members",
                _G,
                "Members by group; the 500 groups with most lag only.",
                "Below what you run: members are down, or read under another name.",
                GROUP,
            ),
            MetricInfo(
                "streamlog_group_total_lag_records",
                _G,
                "Offsets that a group has yet to read, of all partitions in which it has a"
                " position; the 500 groups with most lag only.",
                "Grows: its members handle less than is produced; add members, as far as there are"
                " partitions.",
                GROUP,
            ),
            MetricInfo(
                "streamlog_group_longest_lag_seconds",
                _G,
                "Age of the oldest record that a group has yet to read, by the record's timestamp;"
                " the 500 groups with most lag only.",
                "Comes near the topic's retention.ms: records will go unread.",
                GROUP,
            ),
            MetricInfo(
                "streamlog_group_lag_records",
                _G,
                "Offsets that a group has yet to read, by partition; the 500 partitions with most"
                " lag only.",
                "High in one partition only: one key takes most of the records, or its owner is"
                " slow.",
                ("group", "topic", "partition"),
            ),
            MetricInfo(
                "streamlog_group_lag_seconds",
                _G,
                "Age of the oldest record that a group has yet to read, by partition; the 500"
                " partitions with most lag only.",
                "High with few records of lag: its owner stands still, see"
                " streamlog_groups_members_stalled.",
                ("group", "topic", "partition"),
            ),
        ),
    ),
    (
        "Cluster",
        (
            MetricInfo(
                "streamlog_metadata_applied_offset",
                _G,
                "The node's view of topics and nodes holds the metadata up to here.",
                "Lower than on other nodes for long: the node does not hear the metadata's leader.",
            ),
            MetricInfo(
                "streamlog_metadata_commit_offset",
                _G,
                "Up to here the metadata is known to be committed.",
                "Above the applied offset for long: the node can not apply it; read its log.",
            ),
            MetricInfo(
                "streamlog_metadata_term",
                _G,
                "Term of the metadata: grows with each change of its leader.",
                "Grows without failures: see streamlog_elections_started_total.",
            ),
            MetricInfo(
                "streamlog_metadata_leader",
                _G,
                "1 on the node that leads the metadata.",
                "The sum over all nodes is 1; 0 for long: a majority of controllers is down.",
            ),
            MetricInfo(
                "streamlog_cluster_nodes",
                _G,
                "Registered nodes, this one included.",
                "Differs between nodes for long: see streamlog_metadata_applied_offset.",
            ),
            MetricInfo(
                "streamlog_cluster_live_nodes",
                _G,
                "Nodes that were heard of within the failure detection time, this one included.",
                "Below streamlog_cluster_nodes: nodes are down or cut off.",
            ),
            MetricInfo(
                "streamlog_cluster_node_conditions",
                _G,
                "Registered nodes by what operators want of them: active, maintenance, draining.",
                "maintenance or draining for days: somebody forgot a node; see"
                " `streamlog node list`.",
                ("condition",),
            ),
            MetricInfo(
                "streamlog_cluster_moving_partitions",
                _G,
                "Partitions of the cluster that are on their way to other nodes.",
                "Does not fall: `streamlog partition moves` says how far each is, and whether it"
                " has a leader.",
            ),
            MetricInfo(
                "streamlog_cluster_topics",
                _G,
                "Topics that this node knows.",
                "Differs between nodes for long: see streamlog_metadata_applied_offset.",
            ),
        ),
    ),
)
"""(title, metrics)."""

METRICS: Final = MappingProxyType(
    {metric.name: metric for _, metrics in SECTIONS for metric in metrics}
)
"""By name."""
