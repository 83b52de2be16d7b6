"""The Raft core: one replica of one group, without I/O, clock or randomness.

`RaftReplica.step(event) -> list[Effect]` (`replica`). What goes in is in `events`, what comes out
in `effects`, what replicas say to each other in `messages`. Everything else is inside:

| module | its one idea |
|---|---|
| `replica` | who acts on which event; changes of role |
| `readable` | what can be read between steps |
| `replica_state` | term, vote, log, commit: what every role shares |
| `elections` | who gets a vote, who has won |
| `eras` | going on without a majority that is gone for good |
| `following` | a follower takes entries |
| `leadership` | a leader commits, reads, hands over, changes members |
| `replication_flow`, `progress` | what a leader sends to which peer |
| `term_table` | terms by offset; where two logs part |
| `pending_writes` | how far the log is durable, truncations included |
| `quorum`, `membership_change`, `reads`, `limits` | as they are called |

The driver's duties
-------------------
1. One step at a time. Carry out all effects of a step, in their order, before the next step;
   observers that react by proposing wait until then.
2. A write effect is handed to the log at once (a read sees it), and carries its WriteSequence.
   Writes become durable in that order; report the newest durable one by WriteCompleted after the
   step that asked for it. When one can not be taken (disk full, disk failed), drop this core and
   the rest of its effects; build a new one from the recovered log.
3. `Send` waits until the write `after` is durable (0, or durable already: at once). It may go out
   late; a message may be lost, doubled or reordered (except as 5 says). A receiver that is not a
   member in `membership` any more (a removed replica's vote request) is answered where the request
   came from, or not at all.
4. `SendEntries` is carried out when the stream to the peer is up, at once or later, and is then
   answered by EntriesSent in the same turn. The AppendEntries carries `term`, `commit_end` and
   `start.end` of the core at that moment. Where there is nothing to read, send nothing and answer
   `last == previous`. Forget it when the term changed meanwhile, the replica leads no more, or the
   peer left `membership`; BeginInstall too.
5. AppendEntries and their answers travel in order, and arrive, or the stream breaks: then step
   PeerDisconnected and forget the SendEntries that was waiting (the step may ask anew; that one
   waits for the next stream). Also when the peer's node could not take an AppendEntries.
   Answers that were sent on a stream that broke before the peer restarted are dropped.
6. Watch time: ElectionTimeout after a randomised time without the leader; TransferExpired an
   election timeout after TransferLeadership; CommitFlush a few ms after NotifyCommit. Time out
   reads: a lost probe is not repeated.
7. Watch nodes: LivePeersChanged whenever the set changes, and once after RoleChanged to leader;
   LeaderHeard when a node heartbeat names a leader that this replica does not follow in that term;
   HigherTermSeen when a peer refuses the own heartbeat; `leader_live` with every message;
   LeaderAnnounced when a node says it leads the group in a later era. A heartbeat that `is_ignored`
   is refused without telling the own term.
8. AppendEntries given to `step` have passed their checks: entries connect to each other, and the
   first to `previous`. `AppendReceived.first` refers to the message just stepped.
9. ForceMembership only by the will of an operator, while a majority is not live (`eras`).
   BeginInstall is answered, in the end, by InstallSucceeded or InstallFailed (not at once: back
   off). The receiver finishes a copy only if it ends at or above its `commit_end` or it
   `needs_install`, and steps LogInstalled in the turn in which the log is replaced, with no write
   effect of this core outstanding in between.
   CopyWanted when part of the log can be mended in no other way; again, if no copy came. A copy of
   a leader that is not `established` is refused by a receiver that `needs_install`, or whose log
   reaches beyond it and may still be the leader's; any copy, when that log holds more of its term.
10. LogReleased when the log was trimmed for any reason but LogStartCommitted: what lies below is
   committed, whether or not this replica has heard so since its process began.
11. A proposal that is not answered by AppendProposal was not taken (`accepts_proposals`). After
   RoleChanged away from leader, nothing that was proposed is known to commit; RoleChanged always
   comes before CommitAdvanced of what another leader put in its place.

Departures from the thesis
--------------------------
- An entry takes several offsets and is named by its exclusive end; an empty log ends at 0.
- No ticks and no per-group heartbeats: nodes watch each other, and an idle group costs nothing.
  So the news of a commit is sent once (NotifyCommit, CommitFlush) instead of with each heartbeat.
- Followers answer with their fsynced match, so answers wait for the disk; the leader's own copy
  counts by the same rule. AppendEntries leave before the leader's own fsync (section 10.2.1).
- A refused follower names a point by its term table instead of one entry a round trip (5.3).
- An acknowledgement that goes out late, after its bytes were overwritten in a later term, is
  harmless. It says "in that term I held this, durably". Had the leader of the later term been
  elected by this replica's vote, it would have held it too (the vote came after); had it not,
  the quorums that elected it and that committed the entry share another replica of which the same
  is true. What is *not* harmless is to match a completion to a log by offset: `pending_writes`.
- A term has an era, and a majority that is gone for good can be given up (`eras`).
- A replica whose log was damaged (`needs_install`) neither votes, acknowledges nor echoes. One that
  may have forgotten its votes (`lost`) never does again: only a forced recovery takes it as it is.
- New voters must be learners that follow the log first (4.2.1); a removed leader names a successor.

Scenarios
---------
What each section of the Raft thesis asks for is told, step by step, in tests/scenarios/raft:

| section | scenario |
|---|---|
| 3.4 leader election | `election.txt`, `single_voter.txt` |
| 3.5 log replication, consistency check | `replication.txt`, `stale_answers.txt` |
| 3.6.1 election restriction | `election_restriction.txt` |
| 3.6.2 entries of earlier terms (figure 3.7) | `earlier_term_commit.txt` |
| 3.8 persisted state | `persistence.txt`, `truncated_writes.txt` |
| 3.10 leadership transfer | `transfer.txt` |
| 4.1, 4.3 membership, joint consensus | `joint_consensus.txt`, `joint_leader_change.txt` |
| 4.2.1 learners | `learners.txt` |
| 4.2.2 removing the leader | `removed_leader.txt` |
| 4.2.3 disruptive servers | `disruptive_servers.txt` |
| 5 copying a log | `install.txt`, `log_start.txt` |
| 6.2 CheckQuorum | `check_quorum.txt` |
| 6.4 linearizable reads | `read_index.txt` |
| 9.6 PreVote | `pre_vote.txt` |
| 10.2.1 pipelining, writing in parallel | `pipelining.txt` |
| a majority that is gone for good (`eras`) | `forced_recovery.txt` |
| news of the commit without heartbeats | `commit_news.txt` |
"""
