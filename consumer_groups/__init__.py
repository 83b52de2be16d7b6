"""Consumer groups: the coordinator and its assignors, as pure state machines.

A consumer group shares the partitions of its topics among its members and remembers how far they
have read. One `CoordinatorMachine` serves one partition of `__consumer_offsets`, that is many
groups; a runtime runs it on that partition's leader. This package decides and remembers. It has no
clock, no randomness and no I/O: times, identities, topics and the news that somebody is silent come
in as commands, and what must be told to whom goes out in responses.

Where to look: `types` the words; `commands`, `records`, `responses` what goes in, what is kept,
what goes out; `errors`, `limits`; `coordinator.machine` the table of transitions; `coordinator`
the rest of it; `assignors` who shall own what; `patterns` topics by pattern; `deadlines` timers for the
caller.

## The protocol (after KIP-848)

The coordinator assigns; members only follow. Three kinds of epoch are on one scale, per group:

| epoch | moves when |
|---|---|
| group epoch | a member joins, returns, leaves, is expired or subscribes to something else; topics change; positions are reset |
| target epoch | with it: each new group epoch has its target assignment at once, in the same decision |
| member epoch | the member reaches the target as far as it can: it is granted partitions, or has given up all it was asked to |

A member whose partitions a new target leaves alone is not told, and keeps its epoch: with 100
members, a newcomer costs messages to those who give up something. (KIP-848 moves every member to
every epoch.)

A change goes like this. The group epoch moves and a target is made. Whoever owns what it shall not
own any more is asked to give it up (`revoking`), keeps its epoch, and is given nothing until it has
acknowledged. Whoever shall own what is free gets it at once, at the target epoch. What is not free
is granted in the very decision that frees it: the owner acknowledged, left, was expired, or was
fenced. Everybody goes on reading what it keeps. Phases of a member (derived, never stored):

| from | to | when |
|---|---|---|
| - | STABLE, WAITING | it joins |
| STABLE, WAITING | REVOKING | a new target takes something from it |
| REVOKING | STABLE, WAITING | it acknowledged the last revocation, or lost the partitions to a fence |
| WAITING | STABLE | the last partition it waited for became free |
| STABLE | WAITING | a new target gives it what others still own |
| any | gone | it leaves, or is expired: session, rebalance timeout, no progress |

A revocation is not taken back: if a newer target returns the partition to its owner, the owner
acknowledges first and is granted it anew. So a member never has to guess which of two messages
that crossed was meant.

## Why ownership intervals are disjoint by epoch

Let a member own partition p since its grant at epoch g, and let its member epoch be e >= g; what it
does with p, it does under an epoch in [g, e].

1. While it owns p, e is at most the epoch of the last target that gave p to it without a break. For
   e only moves when the member has nothing to give up (or has just given it up), and then it moves
   to the newest target, of which p is part, or p would have to be given up.
2. The next owner's grant is at the epoch of a target that gives p to the next owner, which is later
   than that. Where p returns to the same member, it was given up or fenced in between: after an
   acknowledgement the target is later, and a fence makes a new epoch.
3. So the next interval begins above e. No two intervals of p share an epoch, whatever the delays,
   and however many processes believe that they own it.

A commit names its member and epoch, and counts only when the member owns the partition (to read or
still to give up) since an epoch not above the named one. Hence a commit of a former owner, and one
that was sent before a reset, is refused. An acknowledgement counts only at exactly the member's
epoch: within one epoch a partition is granted to a member at most once, so an old one can not free
what was granted since.

Group epochs survive their group: a group that is made again begins above all that any deleted group
of this coordinator had.

## What is remembered

In the log and its snapshot: groups and their epochs; members (identity, instance, subscription,
assignor, timeouts, client); the topics that subscriptions come to, with the version of the metadata
they were looked up in; target; ownership with the epoch of each grant, and what is being revoked;
committed positions; the newest 16 causes of rebalances. Records are facts, replay computes nothing
that an assignor decides.

Not in the log: when a member was last heard of, which streams are open, how long a member has made
no progress, how long a partition has had no owner. That is the caller's, and `deadlines` keeps it;
a new leader knows none of it and grants everybody a full session. Heartbeats are a query and write
nothing.

## What the caller must do

1. Run commands through the log in order, append the records of one decision as one entry, and tell
   nobody anything before it is committed. Answer queries only while it provably leads.
2. Push `Changed.pushes` at once, in the order of decisions, and end the streams of
   `Changed.removed`. A push is the whole assignment, so a lost one is mended by the next, or by
   `queries.assignment` when a heartbeat shows that the member has not seen it.
3. Keep three timers for a member: its session, its open revocation (rebalance timeout), and, where
   asked for, its progress; when one runs out, send ExpireMember. `deadlines.Deadlines` does this
   for whoever tells it the time.
4. On a change of topics, and once when it begins to lead, send TopicsChanged to
   `queries.groups_to_refresh`. A refusal for too many topics or partitions leaves the group with
   the topics it had, and is an alarm. Send ExpireOffsets to empty groups now and then.

## What a member must do

1. Begin to read a partition only when it is assigned, at its `commit` or by its own policy.
2. When one is revoking: stop reading, commit, acknowledge with its member epoch.
   A commit names the epoch that the member had when it took the positions, not when it sends them.
3. What is neither assigned nor revoking any more, or assigned under another grant epoch, was lost:
   drop it without a commit.
4. On UNKNOWN_MEMBER drop everything, and join with a new member id and epoch 0. On a broken stream
   join again with the same id and the epoch it has.
5. Stop handing out records when its session is not confirmed within the session timeout, counted on
   its own clock from when it sent the last heartbeat that was answered.

## Static members

A member with an instance id that goes without leaving keeps its partitions until its session
expires. When it is back it has a new member id: it takes its predecessor's target and place, at a
new epoch, in one decision in which nobody else is asked to move. While the predecessor is connected
the newcomer is refused (INSTANCE_ID_IN_USE).

## Transactions

Positions that belong to a transaction are to be pending: records that name producer id, epoch and
positions, fenced by member epoch as a commit is, and a record that ends them, upon which they become
commits or vanish. A group will hold them beside `commits`; a query for positions must say that one
is pending, deletion and expiry must wait. Fields are kept for this in the records and the snapshot.

Sources: KIP-848 (the protocol), KIP-211 (expiry of positions), KIP-345 (static members), KIP-1251
(commits judged by the epoch of each partition's grant).
"""
