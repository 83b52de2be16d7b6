package streamlog.example;

import streamlog.v1.GroupServiceOuterClass.AssignedPartition;
import streamlog.v1.GroupServiceOuterClass.GroupOffset;

/** A partition that a member owns, since a grant. Of the member's loop. */
final class Hold {
  final AssignedPartition granted;

  /** The thread that reads it; null: it is not read. */
  private Thread reader;

  /** Of the next record to hand out. */
  long position;

  /** What was sent of it, and what was confirmed. Invariant: committed <= sent <= position. */
  long sent;

  long committed;
  boolean stopped;

  Hold(AssignedPartition granted) {
    this.granted = granted;
    this.position = granted.getCommitted().getOffset();
    this.sent = position;
    this.committed = position;
  }

  int partition() {
    return granted.getPartition();
  }

  boolean isCommitted() {
    return position == committed;
  }

  /** The position, as it is committed. */
  GroupOffset offset() {
    return GroupOffset.newBuilder()
        .setTopicId(granted.getTopicId())
        .setPartition(granted.getPartition())
        .setOffset(position)
        .build();
  }

  void startReading(Runnable read) {
    reader = new Thread(read, "partition-" + partition());
    reader.setDaemon(true);
    reader.start();
  }

  /** Nothing is handed out after this. */
  void stopReading() {
    stopped = true;
    if (reader != null) {
      reader.interrupt();
    }
  }
}
