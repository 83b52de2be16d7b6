"""Planted bugs: a tester is worth what it catches.

Each bug breaks one rule that real systems have broken, by changing a line of the node's source
as it is imported. Rules whose breach shows only in rare interleavings (votes before they are
durable, earlier terms committed by counting, completions by offset) are planted in the random
lives of the core instead (`tests/properties/raft`), which take a thousand times as many steps a
second. What breaks only in a power cut at a bad moment is looked for in the states that a crash may
leave of the storage engine's disk (`crash_states`), and what few seeds meet by a test of its own.
`python -m jepsen_like.planted NAME` runs seeds of the broken node, judges states, or runs that test
until it knows; a test does so for every bug. A bug whose text
is no longer in the source is an error: move it along with the code.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """One change of the source."""

    name: str
    breaks: str
    """The rule, in words."""
    module: str
    before: str
    """Text that occurs once in the module."""
    after: str
    first_seed: int = 0
    """Just below a seed that shows it, to be fast."""
    seeds_max: int = 60
    """It must be caught within so many seeds."""
    workload: str | None = None
    """It is looked for in the crash states of this workload, not by simulation."""
    states: int = 200
    """Crash states of the workload that are judged."""
    test: str | None = None
    """It is looked for by this test (path::name), whose failure convicts it: what the simulator
    meets in few seeds only, or never, is shown where it is sure to be met."""


BUGS: Final[tuple[PlantedBug, ...]] = (
    PlantedBug(
        "journal-not-fsynced",
        "an acknowledgement means fsynced on a majority",
        "streamlog.storage.journal.journal",
        "await current.open_file.file.write_durable(at, buffers)",
        "await current.open_file.file.write(at, buffers)",
    ),
    PlantedBug(
        "follower-acks-before-fsync",
        "append replies leave after the fsync that covers them",
        "replication.raft.following",
        "after = max(writes.covering(match_end), state.hard_state_write)",
        "after = state.hard_state_write",
        test="tests/scenarios/raft/test_raft_scenarios.py"
        "::test_a_scenario_goes_as_it_is_told[replication]",
    ),
    PlantedBug(
        "leader-counts-itself-before-fsync",
        "a leader counts its own copy only after its own fsync",
        "replication.raft.leadership",
        "base, end, state.term))\n        self.flow.send_new()",
        "base, end, state.term))\n        self.own.match = end\n        self.flow.send_new()"
        "\n        self.commit()",
    ),
    PlantedBug(
        "vote-not-journalled",
        "a vote is never forgotten",
        "streamlog.storage.group_log",
        "content = encode_hard_state(state.term, state.vote)",
        "content = encode_hard_state(state.term, None)",
        workload="votes",
    ),
    PlantedBug(
        "votes-for-shorter-logs",
        "a candidate's log must hold all that may be committed",
        "replication.raft.elections",
        "        and request.last >= state.terms.end\n",
        "",
    ),
    PlantedBug(
        "conflicts-are-kept",
        "entries that conflict with the leader's are cut away",
        "replication.raft.following",
        "if terms.term_at(Offset(entry.base + 1)) != entry.term:\n            state.truncate(",
        "if terms.term_at(Offset(entry.base + 1)) is None:\n            state.truncate(",
    ),
    PlantedBug(
        "large-append-not-fsynced",
        "a reference is journalled after the bytes it refers to are fsynced",
        "streamlog.storage.group_files",
        "await segments.write_through()",
        "await segments.write_pending()",
        first_seed=6,
    ),
    PlantedBug(
        "identity-kept-after-a-loss",
        "a producer that lost a batch goes on under a new identity",
        "streamlog.client.sender",
        "self._identity = None  # nobody begins under an id that lost a batch",
        "pass",
        first_seed=3,
    ),
    PlantedBug(
        "rot-is-not-reported",
        "what can not be read back is mended from a peer",
        "streamlog.storage.segment_reader",
        "        self._resources.damage.report(\n            DamagedRange(",
        "        str(\n            DamagedRange(",
        test="tests/unit/streamlog/storage/test_damage_and_recovery.py"
        "::test_what_a_read_can_not_check_is_reported",
    ),
    PlantedBug(
        "damaged-journal-votes-on",
        "a replica that may have forgotten a vote votes no more under its id",
        "streamlog.storage.recovery",
        "            lost=replay.lost is not None,\n",
        "            lost=False,\n",
        test="tests/unit/streamlog/cluster/test_lost_replicas.py"
        "::test_all_replicas_of_a_damaged_journal_are_replaced",
    ),
    PlantedBug(
        "lost-replica-forgotten",
        "that it may have forgotten a vote is remembered over further starts",
        "streamlog.storage.group_capture",
        "            lost=state.lost,\n",
        "",
        test="tests/unit/streamlog/storage/test_store_recovery.py"
        "::test_rot_in_the_journal_takes_groups_out_of_service_not_data",
    ),
    PlantedBug(
        "deletion-remembered-too-long",
        "a checkpoint tells of a deletion until its files are gone, and no longer",
        "streamlog.storage.store",
        "        self._checkpointer.deleted.pop(group_id, None)\n",
        "",
        workload="replacement",
    ),
    PlantedBug(
        "creation-after-a-deletion-passed-over",
        "a group that was deleted and made anew is there after a crash",
        "streamlog.storage.recovery",
        "        if group is None or group.deleted or _is_later(created, group):",
        "        if group is None or _is_later(created, group):",
        workload="replacement",
    ),
    PlantedBug(
        "no-deduplication",
        "a retry of an idempotent producer is stored once",
        "streamlog.storage.log_state",
        "        if not self.exact:\n            raise _not_now()\n        known =",
        "        return Fresh()\n        known =",
    ),
    PlantedBug(
        "duplicate-told-before-commit",
        "a duplicate is told only when what it was judged on is committed",
        "streamlog.broker.partition",
        "self._when_committed(seen.last_offset + 1),",
        "None,",
        test="tests/unit/streamlog/broker/test_partition_appends.py"
        "::test_a_duplicate_is_told_when_what_it_repeats_is_committed",
    ),
    PlantedBug(
        "acks-before-commit",
        "a producer is answered when its batch is committed",
        "streamlog.broker.partition",
        "            proposal.committed,\n            base_offset",
        "            None,\n            base_offset",
    ),
    PlantedBug(
        "uncommitted-is-served",
        "nothing beyond the majority is shown to consumers",
        "streamlog.broker.fetch",
        "end = group.commit_end\n            if cursor",
        "end = group.log.end.end\n            if cursor",
        test="tests/unit/streamlog/broker/test_fetch_session.py::test_nothing_uncommitted_leaves",
    ),
    PlantedBug(
        "new-segment-not-in-directory",
        "a new file's directory entry is fsynced too",
        "streamlog.storage.segment_writer",
        "await self._resources.disk.sync_directory(self._contents.directory)",
        "pass",
        first_seed=4,
    ),
    PlantedBug(
        "renamed-without-fsync",
        "files appear by tmp, fsync, rename, fsync of the directory",
        "streamlog.storage.sealed_file",
        "        await file.sync()\n",
        "        pass\n",
    ),
    PlantedBug(
        "checkpoint-without-fsync",
        "a checkpoint tells what is durable in the segments",
        "streamlog.storage.file_cache",
        "\n            await entry.file.sync()\n",
        "\n            pass\n",
    ),
    PlantedBug(
        "sealed-file-renamed-first",
        "a small file is fsynced before it takes the old one's name",
        "streamlog.storage.sealed_file",
        "        await file.sync()\n",
        "        pass\n",
        workload="snapshots",
    ),
    PlantedBug(
        "sealed-file-not-in-directory",
        "a rename is durable when its directory is",
        "streamlog.storage.sealed_file",
        '    await disk.sync_directory(path.rpartition("/")[0])\n',
        "    pass\n",
        workload="snapshots",
    ),
    PlantedBug(
        "checkpoint-before-segments",
        "a checkpoint is written after the segments that it names are fsynced",
        "streamlog.storage.segment_writer",
        "await self.write_pending()\n        await self._sync()\n        await self._save_sealed()",
        "await self.write_pending()\n        await self._save_sealed()",
        workload="rolls",
    ),
    PlantedBug(
        "journal-file-recycled-early",
        "a journal file is recycled when no kept checkpoint needs it",
        "streamlog.storage.checkpointer",
        "        changed, self._changed = self._changed, {}\n",
        "        journal.release_below(first_file)\n"
        "        changed, self._changed = self._changed, {}\n",
        workload="recycling",
    ),
    PlantedBug(
        "journal-file-not-in-directory",
        "a new journal file's name is durable before frames go to it",
        "streamlog.storage.journal.journal_file",
        "    await disk.rename(unfinished, path)\n    await disk.sync_directory(DIRECTORY)\n",
        "    await disk.rename(unfinished, path)\n",
        workload="appends",
    ),
    PlantedBug(
        "recycled-file-not-in-directory",
        "a recycled journal file's name is durable before frames go to it",
        "streamlog.storage.journal.journal_file",
        "    await disk.rename(old_path, path)\n    await disk.sync_directory(DIRECTORY)\n",
        "    await disk.rename(old_path, path)\n",
        workload="recycling",
    ),
    PlantedBug(
        "truncation-marker-lost",
        "recovery hears of a truncation before it hears of what was appended over it",
        "streamlog.storage.group_log",
        "self._frame(FrameKind.TRUNCATE, encode_truncate(end))",
        "self._frame(FrameKind.TRUNCATE, encode_truncate(1 << 40))",
        workload="truncations",
    ),
    PlantedBug(
        "cut-before-truncation-is-durable",
        "files are cut when the truncation is durable in the journal",
        "streamlog.storage.group_log",
        "self._submit(Write(write, (frame,), on_durable=self._files.truncated()))",
        "self._submit(Write(write, (frame,)))\n        self._files.truncated()()",
        workload="truncations",
        states=400,
    ),
    PlantedBug(
        "truncated-bytes-believed",
        "what a truncation removed is not believed in the files again",
        "streamlog.storage.replay",
        "        self.trusted = min(self.trusted, end)\n",
        "        pass\n",
        workload="truncations",
    ),
    PlantedBug(
        "reference-before-data",
        "a large append's bytes are fsynced before the journal refers to them",
        "streamlog.storage.group_files",
        "await segments.write_through()",
        "await segments.write_pending()",
        workload="large",
    ),
    PlantedBug(
        "start-before-checkpoint",
        "segments go when a durable checkpoint reaches the start",
        "streamlog.storage.log_start",
        "<= self._checkpointed_end\n",
        "<= self.wanted.end\n",
        workload="snapshots",
        states=400,
    ),
    PlantedBug(
        "installed-copy-not-in-directory",
        "a copy's directory is durable before the journal says that it counts",
        "streamlog.storage.install",
        "            await disk.sync_directory(group_directory(group_id))\n",
        "            pass\n",
        workload="install",
    ),
    PlantedBug(
        "names-believed-after-a-kill",
        "recovery makes durable which files there are before it acts on it",
        "streamlog.storage.recovery",
        "            await self._disk.sync_directory(directory)\n",
        "            pass\n",
        workload="kills",
        states=600,
    ),
    PlantedBug(
        "new-group-not-in-directory",
        "a group's directory is durable before its creation is",
        "streamlog.storage.store",
        '            await self._disk.sync_directory("groups")\n'
        '            await self._disk.sync_directory("")\n',
        "            pass\n",
        workload="groups",
    ),
    PlantedBug(
        "left-replicas-deleted-at-once",
        "a replica that is left behind is deleted only when its group has come to the others",
        "streamlog.cluster.local_replicas",
        "return any(each.replica_id == own for each in (*partition.replicas, *partition.leaving))",
        "return any(each.replica_id == own for each in partition.replicas)",
        first_seed=0,
    ),
    PlantedBug(
        "replica-ids-reused",
        "a replica that comes back to a node is another one: what the first promised is not its",
        "streamlog.cluster.metadata.moves",
        "known = Replica(ReplicaId(next_id), node_id, state.nodes[node_id].directory_id)",
        "known = Replica(ReplicaId(node_id), node_id, state.nodes[node_id].directory_id)",
        first_seed=0,
    ),
    PlantedBug(
        "commit-without-epoch-check",
        "a commit counts only from whoever owns the partition since an epoch that it names",
        "consumer_groups.coordinator.offsets",
        "fenced = tuple(p for p, *_ in offsets if not _may_commit(member, p, command.member_epoch))",
        "fenced = ()",
        first_seed=13,
        seeds_max=200,
    ),
    PlantedBug(
        "granted-before-given-up",
        "what is not free is granted when its owner has given it up",
        "consumer_groups.coordinator.draft",
        "free = tuple(p for p in member.target if p not in group.owners)",
        "free = tuple(p for p in member.target if p not in member.owned)",
        first_seed=5,
        seeds_max=200,
    ),
    PlantedBug(
        "reset-without-fence",
        "a reset takes the partition from its owner, whose commits count no more",
        "consumer_groups.coordinator.offsets",
        "fenced = tuple(p for p in partitions if p in draft.group.owners)",
        "fenced = ()",
        first_seed=12,
        seeds_max=200,
    ),
    PlantedBug(
        "epochs-begin-anew",
        "a group that is made again begins above all epochs that it ever had",
        "consumer_groups.coordinator.draft",
        "record = GroupCreated(name, state.epoch_floor, now_ms)",
        "record = GroupCreated(name, NO_EPOCH, now_ms)",
        first_seed=6,
        seeds_max=200,
    ),
    PlantedBug(
        "commit-told-before-it-is-committed",
        "a commit is acknowledged when it is committed",
        "streamlog.groups.coordinator",
        "        await self._execute(\n            CommitOffsets(\n                session.group,"
        " session.member_id, epoch, tuple(offsets), self._clock.wall_ms()\n            )\n        )",
        "        self._tasks.start(self._execute(\n            CommitOffsets(\n                session.group,"
        " session.member_id, epoch, tuple(offsets), self._clock.wall_ms()\n            )\n        ), '')",
        first_seed=5,
        seeds_max=200,
    ),
    PlantedBug(
        "expired-member-keeps-its-partitions",
        "a member whose session ran out is removed, and others get what it owned",
        "streamlog.groups.leading",
        "            response = await self._execute(command)\n        except (GroupError, Repl",
        "            return\n        except (GroupError, Repl",
        first_seed=21,
        seeds_max=200,
    ),
    PlantedBug(
        "snapshot-forgets-commits",
        "a coordinator goes on from snapshot and log",
        "consumer_groups.coordinator.snapshot",
        "commits = _commits_from_proto(message.positions)",
        "commits = _commits_from_proto(())",
        first_seed=21,
        seeds_max=200,
    ),
    PlantedBug(
        "consumer-does-not-fence-itself",
        "a consumer hands out nothing once its session may have run out",
        "streamlog.client.groups.member",
        "self.lease.until_s = (self._confirmed_ms + self.session_timeout_ms) / 1_000",
        "self.lease.until_s = 1e9",
        first_seed=26,
        seeds_max=200,
    ),
    PlantedBug(
        "commits-what-is-not-done",
        "an automatic commit holds nothing that the application may still be working on",
        "streamlog.client.groups.progress",
        "found = self.uncommitted(pairs, handed=False)",
        "found = self.uncommitted(pairs, handed=True)",
        first_seed=0,
        seeds_max=200,
    ),
)


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed source."""

    def __init__(self, bug: PlantedBug) -> None:
        self._bug = bug

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Only the bug's module."""
        if fullname != self._bug.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert found is not None
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=self)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the changed source."""
        assert module.__file__ is not None
        source = planted_source(self._bug, Path(module.__file__).read_text(encoding="utf-8"))
        exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102  # own source


def planted_source(bug: PlantedBug, source: str) -> str:
    """The source with the bug. ValueError when its text does not occur exactly once."""
    count = source.count(bug.before)
    if count != 1:
        raise ValueError(f"{bug.name}: its text occurs {count} times in {bug.module}")
    return source.replace(bug.before, bug.after)


def main() -> int:
    """Run seeds, or judge crash states, with a bug; 0 when it was caught."""
    names = [bug.name for bug in BUGS]
    parser = argparse.ArgumentParser(prog="python -m jepsen_like.planted", description=__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument(
        "--shrink", type=float, default=0.0, metavar="SECONDS", help="shrink the seed that shows it"
    )
    arguments = parser.parse_args()
    bug = next(bug for bug in BUGS if bug.name == arguments.name)
    if bug.module in sys.modules:
        raise RuntimeError(f"{bug.module} was imported too early to be changed")
    sys.meta_path.insert(0, _Planter(bug))
    if bug.test is not None:
        return _by_test(bug, bug.test)
    if bug.workload is None:
        return _by_simulation(bug, arguments.shrink)
    return _by_crash_states(bug, bug.workload)


def _by_simulation(bug: PlantedBug, shrink_s: float) -> int:
    from jepsen_like.sim.options import draw_options
    from jepsen_like.sim.runner import print_shrunk
    from jepsen_like.sim.simulation import simulate

    for seed in range(bug.first_seed, bug.first_seed + bug.seeds_max):
        outcome = simulate(seed, draw_options(seed))
        if outcome.violations:
            print(f"{bug.name}: caught by seed {seed}")
            print(f"  {outcome.violations[0]}")
            if shrink_s > 0:
                print_shrunk(seed, shrink_s)
            return 0
    print(f"{bug.name}: NOT caught within {bug.seeds_max} seeds")
    return 1


def _by_test(bug: PlantedBug, test: str) -> int:
    import pytest

    outcome = pytest.main(["-p", "no:cacheprovider", "--tb=line", test])
    if bug.module not in sys.modules:
        print(f"{bug.name}: NOT planted, {test} does not import {bug.module}")
        return 1
    if outcome is not pytest.ExitCode.TESTS_FAILED:
        print(f"{bug.name}: NOT caught by {test}")
        return 1
    print(f"{bug.name}: caught by {test}")
    return 0


def _by_crash_states(bug: PlantedBug, workload: str) -> int:
    from jepsen_like.crash_states.runs import examine, workload_named

    outcome = examine(workload_named(workload), bug.states, seed=1)
    if not outcome.failed:
        print(f"{bug.name}: NOT caught by {outcome.states} crash states of {workload}")
        return 1
    print(f"{bug.name}: caught by {outcome.failed} of {outcome.states} crash states of {workload}")
    print(f"  {outcome.failures[0].state}: {outcome.failures[0].reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
