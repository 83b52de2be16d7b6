"""Whether a node has caught up: what load balancers and rolling restarts wait for.

Alive is less (`health`): a node that just came back serves, but its replicas may lack what was
written meanwhile, and stopping the next node then leaves partitions without a majority. Ready
means: registered, its metadata applied, every replica that belongs here present, with a live
leader, and at most LAG_MAX offsets behind it, which is also what a leadership needs to come home.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from replication.multiraft.group import Group
from replication.raft.effects import Role
from replication.types import METADATA_GROUP, NodeId
from streamlog.cluster.membership_steps import LAG_MAX
from streamlog.server.member import Member
from streamlog.server.metrics.survey import Survey, lag_of, worst


class Phase(Enum):
    """Where in its life a node is."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer, with what it rests on."""

    reasons: tuple[str, ...]
    """Why the node is not ready; none when it is."""
    details: dict[str, Any]
    """For people and programs; values of JSON."""

    @property
    def ready(self) -> bool:
        """Nothing speaks against it."""
        return not self.reasons


def judge(phase: Phase, node_id: NodeId, member: Member | None, survey: Survey | None) -> Readiness:
    """What is known of the node, judged; `survey` is there when `member` takes part."""
    details: dict[str, Any] = {"node": node_id, "phase": phase.value}
    if phase is not Phase.SERVING or member is None or survey is None:
        return Readiness((f"the node is {phase.value}",), details)
    reasons: list[str] = []
    cluster = member.cluster
    details["cluster"] = f"{cluster.view.cluster_id:032x}"
    details["registered"] = cluster.registered
    if not cluster.registered:
        reasons.append("the node has not registered since its start")
    reasons += _judge_metadata(member, details)
    reasons += _judge_replicas(member, survey, details)
    return Readiness(tuple(reasons), details)


def _judge_metadata(member: Member, details: dict[str, Any]) -> list[str]:
    group = member.groups.groups.get(METADATA_GROUP)
    if group is None:
        return ["the metadata is not on this node"]
    applied = member.cluster.view.metadata_offset
    committed = max(group.commit_end, _heard(group))
    details["metadata"] = {
        "leader": group.leader or 0,
        "applied": applied,
        "committed": committed,
    }
    reasons: list[str] = []
    if group.failed is not None:
        reasons.append(f"the replica of the metadata stopped: {group.failed}")
    elif group.leader is None or group.leader not in member.groups.live_nodes():
        reasons.append("no live leader of the metadata is known")
    elif group.role is not Role.LEADER and lag_of(group) is None:
        reasons.append("the leader of the metadata has not told how far it is")
    if applied < committed:
        reasons.append(f"the metadata is applied up to {applied} of {committed}")
    return reasons


def _heard(group: Group) -> int:
    return group.heard_commit[1] if group.heard_commit is not None else 0


def _judge_replicas(member: Member, survey: Survey, details: dict[str, Any]) -> list[str]:
    lost = len(member.cluster.lost_replicas)
    view = member.cluster.view
    details["partitions"] = {
        "led": survey.led,
        "followed": survey.followed,
        "without_leader": survey.without_leader,
        "failed": survey.failed,
        "behind": survey.behind,
        "unheard": survey.unheard,
        "installing": survey.installing,
        "missing": survey.missing,
        "lost": lost,
    }
    named: list[dict[str, Any]] = []
    for (topic_id, number), lag in worst(survey.own_lag):
        topic = view.topic_by_id(topic_id)
        name = topic.name if topic is not None else str(topic_id)
        named.append({"topic": name, "partition": number, "records": lag})
    details["lag"] = {
        "allowed": LAG_MAX,
        "records": sum(survey.own_lag.values()),
        "partitions": named,
    }
    return [
        f"{count} of {survey.replicas + survey.missing + lost} replicas {what}"
        for count, what in (
            (survey.without_leader, "have no live leader"),
            (survey.failed, "stopped"),
            (survey.behind, f"are more than {LAG_MAX} records behind"),
            (survey.unheard, "have not heard how far their leader is"),
            (survey.installing, "wait for a copy of their leader's log"),
            (survey.missing, "are not created yet"),
            (lost, "are lost: gone, or their journal is damaged"),
        )
        if count
    ]
