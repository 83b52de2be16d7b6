"""Takes the samples of a node: reads what its parts keep and what was counted.

Each function reads one part and knows nothing of the others. All of them run on the event loop and
only read, `prune` of topics that are gone apart.
"""

from __future__ import annotations

from replication.raft.effects import Role
from replication.types import METADATA_GROUP, NodeId
from streamlog.broker.counters import BrokerCounters
from streamlog.cluster.metadata.state import NodeCondition
from streamlog.cluster.view import ClusterView
from streamlog.model.settings.node import NodeConfig
from streamlog.model.version import VERSION
from streamlog.server.member import Member
from streamlog.server.metrics.catalog import METADATA_TOPIC
from streamlog.server.metrics.counters import NodeCounters
from streamlog.server.metrics.measured_disk import OPERATIONS
from streamlog.server.metrics.measured_services import CallCounters
from streamlog.server.metrics.samples import Samples
from streamlog.server.metrics.survey import Survey, Use, worst


def sample_counters(samples: Samples, counters: NodeCounters) -> None:
    """What is counted for the node as a whole, from its start on."""
    samples.milliseconds("streamlog_event_loop_lag_seconds", counters.loop_lag_ms)
    _sample_calls(samples, counters.calls)
    broker = counters.broker
    for (method, reason), count in sorted(broker.refused.items()):
        samples.number("streamlog_node_errors_total", count, method, reason)
    samples.milliseconds("streamlog_produce_latency_seconds", broker.produce_ms)
    samples.milliseconds("streamlog_commit_latency_seconds", broker.commit_ms)
    samples.number("streamlog_fetch_disk_reads_total", broker.disk_fetches)
    samples.number("streamlog_budget_waits_total", broker.stream_budget_waits, "produce_stream")
    for operation in OPERATIONS:
        samples.milliseconds(
            "streamlog_fsync_seconds", counters.disk.durable_ms[operation], operation
        )
        samples.number(
            "streamlog_fsync_failures_total", counters.disk.failures[operation], operation
        )


def _sample_calls(samples: Samples, calls: CallCounters) -> None:
    for method, counted in sorted(calls.unary.items()):
        samples.number("streamlog_node_calls_total", counted.begun, method)
        samples.sums("streamlog_node_call_seconds", counted.ended, counted.ended_ms, method)
    for method, counted in sorted(calls.streams.items()):
        samples.number("streamlog_node_calls_total", counted.begun, method)
        samples.number("streamlog_node_streams_open", counted.open, method)


def sample_member(
    samples: Samples,
    config: NodeConfig,
    member: Member,
    survey: Survey,
    counters: NodeCounters,
    monotonic_ms: float,
) -> None:
    """A node that takes part in its cluster; `config` holds its settings as they are now."""
    view = member.cluster.view
    samples.number(
        "streamlog_node_info",
        1,
        str(config.node_id),
        f"{view.cluster_id:032x}",
        config.rack,
        VERSION,
    )
    _sample_topics(samples, counters.broker, view)
    _sample_budgets(samples, member)
    _sample_storage(samples, member, config)
    _sample_damage(samples, member)
    _sample_use(samples, view, survey)
    _sample_partitions(samples, member, survey)
    _sample_replication(samples, member)
    _sample_groups(samples, member, config, monotonic_ms)
    _sample_cluster(samples, member, NodeId(config.node_id))


def _sample_topics(samples: Samples, counters: BrokerCounters, view: ClusterView) -> None:
    counters.prune(lambda topic_id: view.topic_by_id(topic_id) is not None)
    for topic_id, counted in counters.topics():
        topic = view.topic_by_id(topic_id)
        assert topic is not None
        for name, value in (
            ("streamlog_produce_batches_total", counted.produced_batches),
            ("streamlog_produce_records_total", counted.produced_records),
            ("streamlog_produce_bytes_total", counted.produced_bytes),
            ("streamlog_produce_duplicates_total", counted.duplicate_batches),
            ("streamlog_fetch_responses_total", counted.fetch_responses),
            ("streamlog_fetch_records_total", counted.fetched_records),
            ("streamlog_fetch_bytes_total", counted.fetched_bytes),
        ):
            samples.number(name, value, topic.name)


def _sample_budgets(samples: Samples, member: Member) -> None:
    broker, replication = member.broker, member.groups.budget
    for name, used, limit in (
        ("produce", broker.produce_budget.used, broker.produce_budget.limit),
        ("fetch", broker.fetch_budget.used, broker.fetch_budget.limit),
        ("uncommitted", replication.uncommitted_bytes, replication.uncommitted_max),
        ("received", replication.unsynced_bytes, replication.unsynced_max),
    ):
        samples.number("streamlog_budget_used_bytes", used, name)
        samples.number("streamlog_budget_limit_bytes", limit, name)
    samples.number("streamlog_budget_waits_total", broker.produce_budget.waits, "produce")
    samples.number("streamlog_budget_waits_total", broker.fetch_budget.waits, "fetch")


def _sample_storage(samples: Samples, member: Member, config: NodeConfig) -> None:
    store = member.store
    counters, journal, settings = store.counters, store.journal, store.settings
    files = store.segment_logs.resources.files
    for name, value in (
        ("streamlog_storage_appended_bytes_total", counters.appended_bytes),
        ("streamlog_storage_direct_bytes_total", counters.direct_bytes),
        ("streamlog_storage_unwritten_bytes", store.unwritten_bytes),
        ("streamlog_storage_oldest_write_seconds", member.groups.oldest_write_ms / 1_000),
        ("streamlog_journal_flushes_total", counters.flushes),
        ("streamlog_journal_frames_total", counters.frames),
        ("streamlog_journal_live_bytes", journal.live_bytes),
        (
            "streamlog_journal_limit_bytes",
            settings.journal.file_bytes * settings.journal.files_max,
        ),
        ("streamlog_journal_pending_bytes", journal.pending_bytes),
        ("streamlog_journal_stalls_total", counters.journal_stalls),
        ("streamlog_checkpoints_total", counters.checkpoints),
        ("streamlog_disk_free_bytes", store.disk_free_bytes),
        ("streamlog_disk_reserve_bytes", config.disk_reserve_bytes),
        ("streamlog_segment_files_open", files.open_count),
        ("streamlog_segment_files_limit", files.limit),
    ):
        samples.number(name, value)
    for file, written in (
        ("journal", counters.journal_bytes),
        ("segment", counters.segment_bytes),
        ("checkpoint", counters.checkpoint_bytes),
    ):
        samples.number("streamlog_storage_written_bytes_total", written, file)


def _sample_damage(samples: Samples, member: Member) -> None:
    damage, scrubber = member.store.damage, member.cluster.scrubber
    for name, value in (
        ("streamlog_storage_damaged_ranges", len(damage.open)),
        ("streamlog_storage_damaged_ranges_found_total", damage.found),
        ("streamlog_storage_damaged_ranges_mended_total", damage.mended),
        ("streamlog_scrub_bytes_total", scrubber.scrubbed_bytes),
    ):
        samples.number(name, value)
    for result, rounds in (
        ("complete", scrubber.rounds),
        ("incomplete", scrubber.incomplete_rounds),
    ):
        samples.number("streamlog_scrub_rounds_total", rounds, result)


def _sample_use(samples: Samples, view: ClusterView, survey: Survey) -> None:
    uses: list[tuple[str, Use]] = [(METADATA_TOPIC, survey.metadata_use)]
    for topic_id, use in survey.use_by_topic.items():
        topic = view.topic_by_id(topic_id)
        if topic is not None:  # Else it was deleted, and its files are about to go.
            uses.append((topic.name, use))
    for name, use in uses:
        samples.number("streamlog_topic_disk_bytes", use.size_bytes, name)
        samples.number("streamlog_topic_segments", use.segments, name)
        samples.number("streamlog_topic_replicas", use.replicas, name)


def _sample_partitions(samples: Samples, member: Member, survey: Survey) -> None:
    for state, count in (
        ("led", survey.led),
        ("followed", survey.followed),
        ("without_leader", survey.without_leader),
        ("failed", survey.failed),
    ):
        samples.number("streamlog_partitions", count, state)
    for reason, count in (
        ("behind", survey.behind),
        ("unheard", survey.unheard),
        ("installing", survey.installing),
        ("missing", survey.missing),
        ("lost", len(member.cluster.lost_replicas)),
    ):
        samples.number("streamlog_partitions_not_caught_up", count, reason)
    samples.number("streamlog_partitions_under_replicated", survey.under_replicated)
    samples.number("streamlog_replication_own_lag_records", sum(survey.own_lag.values()))
    for (topic_id, number), lag in worst(survey.lag_of_led):
        topic = member.cluster.view.topic_by_id(topic_id)
        if topic is not None:
            samples.number(
                "streamlog_replication_partition_lag_records", lag, topic.name, str(number)
            )
    for node_id in member.cluster.view.other_nodes():
        lag = survey.lag_by_node.get(node_id, 0)
        samples.number("streamlog_replication_lag_records", lag, str(node_id))


def _sample_replication(samples: Samples, member: Member) -> None:
    groups = member.groups
    for node_id, (connected, queued_bytes) in sorted(groups.peer_queues().items()):
        samples.number("streamlog_replication_peer_connected", connected, str(node_id))
        samples.number("streamlog_replication_queue_bytes", queued_bytes, str(node_id))
    counters = groups.counters
    for name, value in (
        ("streamlog_elections_started_total", counters.elections_started),
        ("streamlog_elections_won_total", counters.elections_won),
        ("streamlog_leaderships_lost_total", counters.leaderships_lost),
        ("streamlog_replication_installs_total", counters.installs_received),
        ("streamlog_replication_copied_bytes_total", groups.copied_bytes),
        ("streamlog_replication_dropped_messages_total", groups.dropped_messages),
    ):
        samples.number(name, value)


def _sample_groups(
    samples: Samples, member: Member, config: NodeConfig, monotonic_ms: float
) -> None:
    watch = member.broker.group_watch
    counters, report = watch.counters, watch.latest
    samples.number("streamlog_groups_commits_total", counters.commits)
    samples.number("streamlog_groups_committed_positions_total", counters.committed_positions)
    for cause, count in counters.rebalances.items():
        samples.number("streamlog_groups_rebalances_total", count, cause.name.lower())
    if report is None or not config.groups_survey_ms:
        return  # What nobody looks at any more would stand still for ever.
    for phase, count in report.phases.items():
        samples.number("streamlog_groups", count, phase.value)
    for name, value in (
        ("streamlog_groups_members", report.members),
        ("streamlog_groups_members_stalled", report.members_stalled),
        ("streamlog_groups_partitions_unowned", report.partitions_unowned),
        ("streamlog_groups_positions_unmeasured", report.unmeasured),
        ("streamlog_groups_survey_age_seconds", (monotonic_ms - report.taken_at_ms) / 1_000),
    ):
        samples.number(name, value)
    for group in report.groups:
        samples.number("streamlog_group_members", group.members, group.group)
        samples.number("streamlog_group_total_lag_records", group.records, group.group)
        samples.number("streamlog_group_longest_lag_seconds", group.lag_ms / 1_000, group.group)
    for each in report.partitions:
        topic = member.cluster.view.topic_by_id(each.partition.topic_id)
        if topic is not None:
            labels = (each.group, topic.name, str(each.partition.partition))
            samples.number("streamlog_group_lag_records", each.records, *labels)
            samples.number("streamlog_group_lag_seconds", each.lag_ms / 1_000, *labels)


def _sample_cluster(samples: Samples, member: Member, node_id: NodeId) -> None:
    view, metadata = member.cluster.view, member.groups.groups.get(METADATA_GROUP)
    live = member.groups.live_nodes()
    samples.number("streamlog_metadata_applied_offset", view.metadata_offset)
    if metadata is not None:
        samples.number("streamlog_metadata_commit_offset", metadata.commit_end)
        samples.number("streamlog_metadata_term", metadata.term)
        samples.number("streamlog_metadata_leader", metadata.role is Role.LEADER)
    samples.number("streamlog_cluster_nodes", len(view.nodes()))
    known = {node_id: None, **dict.fromkeys(view.other_nodes())}
    samples.number("streamlog_cluster_live_nodes", sum(node in live for node in known))
    conditions = [node.condition for node in view.nodes()]
    for condition in NodeCondition:
        samples.number(
            "streamlog_cluster_node_conditions",
            conditions.count(condition),
            condition.name.lower(),
        )
    state = view.state
    samples.number("streamlog_cluster_moving_partitions", len(state.moving) if state else 0)
    samples.number("streamlog_cluster_topics", len(view.topics()))
