package streamlog.example;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import streamlog.v1.Batch.RecordBatch;
import streamlog.v1.LogServiceGrpc;
import streamlog.v1.LogServiceOuterClass.FetchPartition;
import streamlog.v1.LogServiceOuterClass.FetchRequest;
import streamlog.v1.LogServiceOuterClass.FetchResponse;

/** Follows a partition from an offset on, from leader to leader. */
final class Follower {
  /** Bytes that may be on their way to this program, on each stream. */
  private static final long WINDOW_BYTES = 8 << 20;

  private static final MethodDescriptor<FetchRequest, Sized> FETCH =
      LogServiceGrpc.getFetchMethod().toBuilder(
              LogServiceGrpc.getFetchMethod().getRequestMarshaller(), new SizedMarshaller())
          .build();

  private final Cluster cluster;
  private final Cluster.TopicPartition place;
  private final Sink sink;
  private long offset;

  /** What a response brought; {@code nextOffset} may lie beyond the last record. */
  record Chunk(List<StoredRecord> records, long nextOffset) {}

  /** Takes chunks in order; false: no more of them. */
  interface Sink {
    boolean take(Chunk chunk) throws InterruptedException;
  }

  Follower(Cluster cluster, Cluster.TopicPartition place, long offset, Sink sink) {
    this.cluster = cluster;
    this.place = place;
    this.offset = offset;
    this.sink = sink;
  }

  /** Until the sink has enough, or the thread is interrupted. */
  void run() throws InterruptedException {
    var patience = new Patience();
    boolean more = true;
    while (more) {
      try {
        more = fetch(patience);
      } catch (RuntimeException failure) {
        if (Thread.interrupted()) { // Blocking calls of gRPC tell it so.
          throw new InterruptedException();
        }
        cluster.learn(place, failure);
        patience.after(failure);
      }
    }
  }

  private boolean fetch(Patience patience) throws InterruptedException {
    Cluster.Leader leader = cluster.leader(place);
    ClientCall<FetchRequest, Sized> call = leader.channel().newCall(FETCH, CallOptions.DEFAULT);
    try {
      var inbox = new Inbox<Sized>();
      StreamObserver<FetchRequest> requests = ClientCalls.asyncBidiStreamingCall(call, inbox);
      var wanted =
          FetchPartition.newBuilder()
              .setTopicId(leader.topicId())
              .setPartition(place.partition())
              .setOffset(offset)
              .setSessionEpoch(1);
      requests.onNext(
          FetchRequest.newBuilder().addPartitions(wanted).setCreditBytes(WINDOW_BYTES).build());
      while (true) {
        Sized came = inbox.take();
        if (came == null) {
          throw new NoAnswer("the stream ended");
        }
        FetchResponse response = came.response();
        if (response.hasError()) {
          throw new Refusal(response.getError());
        }
        List<StoredRecord> records = new ArrayList<>();
        for (RecordBatch batch : response.getBatchesList()) {
          records.addAll(Batches.decode(batch, offset));
        }
        offset = response.getNextOffset();
        patience.progress();
        if (!sink.take(new Chunk(records, offset))) {
          return false;
        }
        requests.onNext(FetchRequest.newBuilder().setCreditBytes(came.size()).build());
      }
    } finally {
      call.cancel("no longer followed", null);
    }
  }

  /** A response, and how much of the credit it took: its size as it came. */
  private record Sized(FetchResponse response, int size) {}

  private static final class SizedMarshaller implements MethodDescriptor.Marshaller<Sized> {
    @Override
    public InputStream stream(Sized value) {
      return value.response().toByteString().newInput();
    }

    @Override
    public Sized parse(InputStream stream) {
      try {
        byte[] bytes = stream.readAllBytes();
        return new Sized(FetchResponse.parseFrom(bytes), bytes.length);
      } catch (IOException garbled) {
        throw new UncheckedIOException(garbled);
      }
    }
  }
}
