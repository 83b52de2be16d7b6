"""Forcing a group on: the replicas that are left are compared, and a worse one is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from streamlog.cli import recovery, remote, survivors
from streamlog.cli.failure import CommandFailed
from streamlog.cli.main import build
from streamlog.cli.survivors import Survivor, Survivors, find_survivors, lines_of, rows_of
from streamlog.client import ClientError, ConnectionLost, Recovery, RecoveryMember, RecoveryNode


def plan(
    node_id: int, end_term: int, end: int, *others: int, lost: tuple[int, ...] = ()
) -> Recovery:
    """What node `node_id` would go on with; `lost` are members, `others` nodes that it knows."""
    return Recovery(
        7,
        9,
        0,
        end,
        0,
        0,
        RecoveryMember(node_id, node_id, live=True),
        tuple(RecoveryMember(each, each, live=False) for each in lost),
        forced=False,
        cluster_id="c",
        end_term=end_term,
        other_nodes=tuple(RecoveryNode(each, f"n{each}:1") for each in others),
    )


def refused(message: str, **metadata: str) -> ClientError:
    return ClientError(message, reason="RECOVERY_REFUSED", metadata=metadata)


TAIL = Survivor(3, "n3:1", 5, 100)
"""A former leader with a long tail that was never committed."""
NEWER = Survivor(4, "n4:1", 6, 90)


def test_the_last_term_goes_before_the_end() -> None:
    """The best first; of equals the chosen one."""
    longer = Survivor(5, "n5:1", 6, 91)
    equal = Survivor(6, "n6:1", 5, 100)
    assert Survivors(TAIL, (NEWER, equal, longer)).ranked() == [longer, NEWER, TAIL, equal]
    Survivors(longer, (TAIL, NEWER, equal)).check(())
    Survivors(TAIL, (equal,)).check(())


def test_a_worse_replica_is_refused() -> None:
    """With both positions, and the ways out; unless the better one is passed over by name."""
    worse = Survivors(TAIL, (NEWER, Survivor(5, "n5:1", 6, 80)))
    with pytest.raises(CommandFailed) as caught:
        worse.check(())
    for words in (
        "node 3 has last term 5, end 100",
        "node 4 has last term 6, end 90",
        "node 5 has last term 6, end 80",
        "--node n4:1",
        "--pass-over 4 --pass-over 5",
    ):
        assert words in caught.value.message
    with pytest.raises(CommandFailed, match=r"add --pass-over 5$"):
        worse.check({4})
    worse.check({4, 5})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(TAIL, node_id=4, end_offset=7, objection="a majority lives"), "a majority lives"),
        (replace(TAIL, node_id=4, end_term=0), "version"),
    ],
)
def test_what_can_not_be_said_to_be_worse_is_not_passed_over(other: Survivor, words: str) -> None:
    """A node that hears of a majority, or one of an older version."""
    with pytest.raises(CommandFailed, match=words):
        Survivors(TAIL, (other,)).check(())
    Survivors(TAIL, (other,)).check({4})


async def test_every_known_node_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are no members as far as the chosen one knows. Nodes without a replica are
    not told of; members of no use are; those that do not answer may have anything."""
    monkeypatch.setattr(survivors, "ANSWER_TIMEOUT_S", 0.05)

    async def ask(address: str) -> Recovery:
        match address:
            case "n1:1":
                raise ConnectionLost("connection refused", retriable=True)
            case "n2:1":
                await asyncio.sleep(60)
            case "n4:1":
                return plan(4, 6, 90)
            case "n5:1":
                raise refused("node 5 has no replica of it")
            case "n6:1":
                raise refused("its log is damaged")
            case "n7:1":
                raise refused("a majority is alive", end_term="5", end_offset="70")
        return replace(plan(8, 9, 900), cluster_id="another")

    planned = plan(3, 5, 100, 1, 2, 4, 5, 6, 7, 8, lost=(1, 2, 6))
    found = await find_survivors(planned, "n3:1", ask)
    assert found.chosen == TAIL
    assert found.others == (NEWER, Survivor(7, "n7:1", 5, 70, "a majority is alive"))
    assert found.unfit == ((6, "its log is damaged"),)
    assert found.silent == (1, 2, 8)
    assert lines_of(found) == [
        "replicas that are left, best first:",
        "  node 4: last term 6, end 90 (better than the one on node 3)",
        "  node 3: last term 5, end 100 (chosen)",
        "  node 7: last term 5, end 70 (its node objects: a majority is alive)",
        "of no use: the replica on node 6: its log is damaged",
        "not compared, because they did not answer: nodes 1, 2, 8",
    ]
    assert [(row["node"], row["chosen"]) for row in rows_of(found)] == [
        (4, False),
        (3, True),
        (7, False),
    ]


@dataclass
class FakeAdmin:
    """Nodes with these replicas; notes who was forced on."""

    plans: Mapping[str, Recovery]
    """By address."""
    forced: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    async def force_recover(
        self, address: str, topic: str, partition: int, *, accept_data_loss: str, dry_run: bool
    ) -> Recovery:
        assert (topic, partition) == ("t", 0)
        return await self.force_recover_cluster(
            address, accept_data_loss=accept_data_loss, dry_run=dry_run
        )

    async def force_recover_cluster(
        self, address: str, *, accept_data_loss: str, dry_run: bool
    ) -> Recovery:
        if dry_run:
            return self.plans[address]
        assert accept_data_loss
        self.forced.append(address)
        return replace(self.plans[address], forced=True)


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> FakeAdmin:
    """Node 3 with a long tail of an old term, node 4 with a newer log."""
    made = FakeAdmin({"n3:1": plan(3, 5, 100, 4), "n4:1": plan(4, 6, 90, 3)})

    async def reach(_: Any) -> None:
        pass

    monkeypatch.setattr(recovery, "admin_of", lambda _: made)
    monkeypatch.setattr(remote, "_reach", reach)
    return made


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(build(), arguments)


@pytest.mark.parametrize(
    "command",
    [
        ("partition", "force-recover", "t", "0", "--confirm", "t/0"),
        ("cluster", "force-recover", "--confirm", "c"),
    ],
)
def test_the_commands_refuse_a_worse_replica(admin: FakeAdmin, command: tuple[str, ...]) -> None:
    """With both consents: they are to the loss of what nobody has any more. The better one, or the
    worse one when the better one is named, goes on."""
    failed = invoke(*command, "--yes", "--node", "n3:1")
    assert isinstance(failed.exception, CommandFailed)
    assert "node 4 has last term 6, end 90" in failed.exception.message
    assert admin.forced == []
    assert invoke(*command, "--yes", "--node", "n4:1").exit_code == 0
    assert admin.forced == ["n4:1"]
    passed = invoke(*command, "--yes", "--node", "n3:1", "--pass-over", "4")
    assert (passed.exit_code, admin.forced) == (0, ["n4:1", "n3:1"])


def test_a_dry_run_lists_the_best_first(admin: FakeAdmin) -> None:
    """Whichever node was asked, and without a refusal."""
    told = invoke("partition", "force-recover", "t", "0", "--node", "n3:1", "--dry-run")
    assert told.exit_code == 0
    assert "kept: offsets 0 to 100 (exclusive), last term 5" in told.stdout
    assert told.stdout.index("node 4: last term 6") < told.stdout.index("node 3: last term 5")
    shown = json.loads(
        invoke(
            "partition", "force-recover", "t", "0", "--node", "n3:1", "--dry-run", "-o", "json"
        ).stdout
    )
    assert (shown["end_term"], shown["silent"]) == (5, [])
    assert [(row["node"], row["end_term"], row["end"]) for row in shown["replicas"]] == [
        (4, 6, 90),
        (3, 5, 100),
    ]
    assert admin.forced == []
