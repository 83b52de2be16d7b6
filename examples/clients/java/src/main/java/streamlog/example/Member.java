package streamlog.example;

import io.grpc.ManagedChannel;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import streamlog.v1.GroupServiceGrpc;
import streamlog.v1.GroupServiceOuterClass.AssignedPartition;
import streamlog.v1.GroupServiceOuterClass.FindCoordinatorRequest;
import streamlog.v1.GroupServiceOuterClass.GroupPartition;
import streamlog.v1.GroupServiceOuterClass.MemberAcknowledge;
import streamlog.v1.GroupServiceOuterClass.MemberAssignment;
import streamlog.v1.GroupServiceOuterClass.MemberCommit;
import streamlog.v1.GroupServiceOuterClass.MemberCommitAnswer;
import streamlog.v1.GroupServiceOuterClass.MemberHeartbeat;
import streamlog.v1.GroupServiceOuterClass.MemberJoin;
import streamlog.v1.GroupServiceOuterClass.MemberLeave;
import streamlog.v1.GroupServiceOuterClass.MemberRequest;
import streamlog.v1.GroupServiceOuterClass.MemberResponse;

/**
 * A member of a group: reads what it is assigned, and gives it up in time.
 *
 * <p>Invariant: all state belongs to {@code loop}, a single thread; streams, readers and timers
 * bring it their work.
 */
final class Member {
  private static final Duration SESSION_TIMEOUT = Duration.ofSeconds(10);
  private static final long COMMIT_INTERVAL_MS = 100;
  private static final long FENCE_POLL_MS = 50;

  private final Cluster cluster;
  private final String topic;
  private final String group;
  private final Patience patience = new Patience();
  private final ScheduledExecutorService loop = Executors.newSingleThreadScheduledExecutor();

  private String id = UUID.randomUUID().toString();
  private long epoch;
  private int assignedCount;
  private final Map<Integer, Hold> held = new TreeMap<>();
  private MemberStream session;

  /** When the last heartbeat that was confirmed was sent, or the join. */
  private long confirmedNanos = System.nanoTime() - SESSION_TIMEOUT.toNanos();

  private long sequence;
  private long handled;
  private long records;
  private boolean leaving;
  private boolean left;

  private Member(Cluster cluster, String topic, String group) {
    this.cluster = cluster;
    this.topic = topic;
    this.group = group;
  }

  static void run(Cluster cluster, Flags flags) throws Exception {
    long begun = System.nanoTime();
    var member = new Member(cluster, flags.text("topic"), flags.text("group"));
    var closing = new Thread(member::leaveAtEndOfInput, "input");
    closing.setDaemon(true);
    closing.start();
    try {
      member.run();
    } finally {
      member.loop.shutdownNow();
    }
    double seconds = Output.secondsSince(begun);
    Output.say(
        "result",
        "group",
        "records",
        member.records,
        "seconds",
        seconds,
        "per_second",
        member.records / seconds);
  }

  private void leaveAtEndOfInput() {
    try {
      System.in.transferTo(OutputStream.nullOutputStream());
    } catch (IOException closed) {
      // As good as its end.
    }
    loop.execute(
        () -> {
          leaving = true;
          held.values().forEach(Hold::stopReading);
        });
  }

  /** Goes from stream to stream until it has left. */
  private void run() throws InterruptedException, ExecutionException {
    while (true) {
      RuntimeException failure = stay();
      if (loop.submit(() -> isOver(failure)).get()) {
        return;
      }
      String reason = Failures.details(failure).reason();
      patience.after(isOut(reason) ? new NoAnswer(reason) : failure);
    }
  }

  /** One stream to the coordinator, from join to its end; returns what it ended with. */
  private RuntimeException stay() throws InterruptedException {
    ManagedChannel coordinator = coordinator();
    var ended = new CompletableFuture<Void>();
    try {
      loop.submit(() -> join(coordinator, ended)).get();
      ended.get();
      return new NoAnswer("the stream ended");
    } catch (ExecutionException end) {
      return Inbox.asRuntimeException(end.getCause());
    }
  }

  private static boolean isOut(String reason) {
    return reason.equals("UNKNOWN_MEMBER") || reason.equals("STALE_MEMBER_EPOCH");
  }

  private ManagedChannel coordinator() throws InterruptedException {
    var request = FindCoordinatorRequest.newBuilder().setGroup(group).build();
    return Patience.with(
        () ->
            cluster.node(
                cluster.any(
                    channel -> {
                      String address =
                          GroupServiceGrpc.newBlockingStub(channel)
                              .withDeadlineAfter(Cluster.CALL_TIMEOUT_S, TimeUnit.SECONDS)
                              .findCoordinator(request)
                              .getLeaderAddress();
                      if (address.isEmpty()) {
                        throw Refusal.retriable("LEADER_NOT_AVAILABLE");
                      }
                      return address;
                    })));
  }

  private void join(ManagedChannel coordinator, CompletableFuture<Void> ended) {
    held.values().forEach(hold -> hold.sent = hold.committed);
    session = new MemberStream(coordinator, loop, this::told, ended);
    session.send(
        MemberRequest.newBuilder()
            .setJoin(
                MemberJoin.newBuilder()
                    .setGroup(group)
                    .setMemberId(id)
                    .addTopics(topic)
                    .setSessionTimeoutMs((int) SESSION_TIMEOUT.toMillis())
                    .setClientId("java")
                    .setMemberEpoch(epoch)));
    session.every(COMMIT_INTERVAL_MS, this::tick);
  }

  /** Prepares the next stream; true: there is none, as the member has left. */
  private boolean isOver(RuntimeException failure) {
    String reason = Failures.details(failure).reason();
    if (left && (failure instanceof NoAnswer || isOut(reason))) { // Its answer may be lost.
      return true;
    }
    Output.say("rejoining", reason);
    left = false;
    if (isOut(reason)) {
      List.copyOf(held.values()).forEach(this::drop);
      id = UUID.randomUUID().toString(); // Another member, but the same work.
      epoch = 0;
    }
    return false;
  }

  /** Somebody else may own what this member holds. */
  private boolean isFenced() {
    return System.nanoTime() - confirmedNanos > SESSION_TIMEOUT.toNanos();
  }

  private void confirm(long sentNanos) {
    if (sentNanos - confirmedNanos > 0) {
      confirmedNanos = sentNanos;
    }
  }

  private void heartbeat() {
    session.heartbeats.put(++sequence, System.nanoTime());
    session.send(
        MemberRequest.newBuilder()
            .setHeartbeat(
                MemberHeartbeat.newBuilder()
                    .setSequence(sequence)
                    .setMemberEpoch(epoch)
                    .setAssignedCount(assignedCount)
                    .setHandledCount(handled)));
  }

  private void tick() {
    handled++; // It looked, and is alive.
    commit(held.values());
    if (leaving && !left && epoch > 0 && held.values().stream().allMatch(Hold::isCommitted)) {
      left = true;
      session.send(MemberRequest.newBuilder().setLeave(MemberLeave.getDefaultInstance()));
    }
  }

  private void told(MemberStream stream, MemberResponse response) {
    if (stream != session) {
      return; // It came late.
    }
    switch (response.getResponseCase()) {
      case ASSIGNMENT -> {
        patience.progress();
        confirm(session.joinedNanos);
        session.startHeartbeats(response.getAssignment().getHeartbeatIntervalMs(), this::heartbeat);
        take(response.getAssignment());
      }
      case HEARTBEAT -> {
        Long sentNanos = session.heartbeats.remove(response.getHeartbeat().getSequence());
        if (sentNanos != null) {
          confirm(sentNanos);
        }
      }
      case COMMIT -> committed(response.getCommit());
      case ERROR -> System.err.println(new Refusal(response.getError()).getMessage());
      default -> {
        // Of a newer node.
      }
    }
  }

  /** Compares what the member owns with what it holds. */
  private void take(MemberAssignment assignment) {
    List<Integer> revoked =
        assignment.getRevokingList().stream().map(GroupPartition::getPartition).toList();
    // At the epoch at which the positions were taken: if one was reset since, and granted anew,
    // this must not undo it.
    commit(held.values().stream().filter(hold -> revoked.contains(hold.partition())).toList());
    epoch = assignment.getMemberEpoch();
    assignedCount = assignment.getAssignedCount();
    Map<Integer, Long> grants = new TreeMap<>();
    for (AssignedPartition each : assignment.getAssignedList()) {
      grants.put(each.getPartition(), each.getGrantEpoch());
    }
    for (Hold hold : List.copyOf(held.values())) {
      Long grant = grants.get(hold.partition());
      if (grant == null || grant != hold.granted.getGrantEpoch()) {
        drop(hold); // Given up, or lost: then without a commit.
      }
    }
    for (AssignedPartition each : assignment.getAssignedList()) {
      held.computeIfAbsent(each.getPartition(), number -> begin(each));
    }
    Output.say("assigned", grants.keySet(), "epoch", epoch);
    if (revoked.isEmpty()) {
      return;
    }
    Output.say("revoked", revoked);
    // The commit was sent before it, so it is judged before it.
    session.send(
        MemberRequest.newBuilder()
            .setAcknowledge(
                MemberAcknowledge.newBuilder()
                    .setMemberEpoch(epoch)
                    .addAllRevoked(assignment.getRevokingList())));
  }

  private Hold begin(AssignedPartition granted) {
    var hold = new Hold(granted);
    if (!leaving) {
      hold.startReading(() -> read(hold, granted.getCommitted().getOffset()));
    }
    return hold;
  }

  private void drop(Hold hold) {
    hold.stopReading();
    held.remove(hold.partition());
  }

  /** Runs on the thread of the partition. */
  private void read(Hold hold, long offset) {
    var place = new Cluster.TopicPartition(topic, hold.partition());
    try {
      new Follower(cluster, place, offset, chunk -> handOut(hold, chunk)).run();
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    } catch (RuntimeException failure) {
      loop.execute(
          () -> {
            if (!hold.stopped && session != null) {
              session.end(failure);
            }
          });
    }
  }

  private boolean handOut(Hold hold, Follower.Chunk chunk) throws InterruptedException {
    try {
      while (!loop.submit(() -> handle(hold, chunk)).get()) {
        Thread.sleep(FENCE_POLL_MS);
      }
      return true;
    } catch (ExecutionException failure) {
      throw Inbox.asRuntimeException(failure.getCause());
    } catch (RejectedExecutionException over) {
      throw new InterruptedException();
    }
  }

  /**
   * Looks at the clock before each record; false: the rest waits until the session is confirmed.
   */
  private boolean handle(Hold hold, Follower.Chunk chunk) {
    for (StoredRecord record : chunk.records()) {
      if (hold.stopped) {
        return true;
      }
      if (record.offset() < hold.position) {
        continue; // Handed out before the fence.
      }
      if (isFenced()) {
        return false;
      }
      Output.show(List.of(record));
      hold.position = record.offset() + 1;
      records++;
      handled++;
    }
    if (!hold.stopped) {
      hold.position = chunk.nextOffset();
    }
    return true;
  }

  /**
   * Sends the positions that moved. Until the next assignment whatever is held is held at the
   * member's epoch, so that is the one to name.
   */
  private void commit(Collection<Hold> holds) {
    if (isFenced() || epoch == 0) {
      return;
    }
    var commit = MemberCommit.newBuilder().setMemberEpoch(epoch);
    Map<Hold, Long> positions = new HashMap<>();
    for (Hold hold : holds) {
      if (hold.position != hold.sent) {
        commit.addOffsets(hold.offset());
        positions.put(hold, hold.position);
        hold.sent = hold.position;
      }
    }
    if (!positions.isEmpty()) {
      session.commits.put(++sequence, positions);
      session.send(MemberRequest.newBuilder().setCommit(commit.setSequence(sequence)));
    }
  }

  private void committed(MemberCommitAnswer answer) {
    Map<Hold, Long> positions = session.commits.remove(answer.getSequence());
    if (positions == null) {
      return;
    }
    if (answer.hasError()) { // Sent again, if they are still held.
      positions.keySet().forEach(hold -> hold.sent = hold.committed);
      return;
    }
    Map<Integer, Long> told = new TreeMap<>();
    positions.forEach(
        (hold, position) -> {
          hold.committed = Math.max(hold.committed, position);
          told.put(hold.partition(), position);
        });
    Output.say("committed", told);
  }
}
