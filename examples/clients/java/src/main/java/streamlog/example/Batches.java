package streamlog.example;

import com.github.luben.zstd.Zstd;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;
import streamlog.v1.Batch.RecordBatch;
import streamlog.v1.Batch.RecordBatchOrBuilder;
import streamlog.v1.RecordOuterClass.Record;
import streamlog.v1.RecordOuterClass.RecordSet;

/** Batches: what producers make of records, and what consumers make of batches. */
final class Batches {
  private static final int FORMAT_VERSION = 1;
  private static final int CODEC_NONE = 1 << 8;
  private static final int CODEC_ZSTD = 2 << 8;
  private static final int CODEC_MASK = 0xf00;
  private static final int APPEND_TIME = 1 << 12;
  private static final int CONTROL = 1 << 13;
  private static final int HAS_PRODUCER = 1 << 15;
  private static final int DELETE_HORIZON = 1 << 17;
  private static final int ENCRYPTED = 1 << 18;

  private static final int HEADER_BYTES = 64;
  private static final int PAYLOAD_BYTES_MAX = 64 << 20;
  private static final int COMPRESSION_LEVEL = 1;

  /** Smaller sets gain nothing, and some libraries leave the content size out of their frames. */
  private static final int COMPRESS_FROM_BYTES = 256;

  private static final long SEQUENCES = 1L << 31;

  private Batches() {}

  static int nextSequence(int baseSequence, int recordCount) {
    return (int) (((long) baseSequence + recordCount) % SEQUENCES);
  }

  /** What the checksum covers before the payload. */
  static byte[] pack(RecordBatchOrBuilder batch) {
    int flags = batch.getFormatAndFlags();
    boolean stamped = (flags & APPEND_TIME) != 0;
    return ByteBuffer.allocate(HEADER_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putInt(flags & ~(APPEND_TIME | DELETE_HORIZON))
        .putInt(batch.getPartition())
        .putInt(batch.getLastOffsetDelta())
        .putInt(batch.getRecordCount())
        .putLong(batch.getFirstTimestampMs())
        .putLong(stamped ? 0 : batch.getMaxTimestampMs())
        .putLong(batch.getProducerId())
        .putInt(batch.getProducerEpoch())
        .putInt(batch.getBaseSequence())
        .putInt(batch.getSchemaId())
        .putInt(batch.getRoutingEpoch())
        .putInt(batch.getEncryptionKeyId())
        .putInt(batch.getUncompressedBytes())
        .array();
  }

  static int checksum(RecordBatchOrBuilder batch) {
    var crc = new CRC32C();
    crc.update(pack(batch));
    crc.update(batch.getPayload().asReadOnlyByteBuffer());
    return (int) crc.getValue();
  }

  /**
   * Numbers the records and makes a batch of them. {@code origin} says who writes it, and where to;
   * the deltas of the records count from its first timestamp.
   */
  static RecordBatch encode(List<Record> records, RecordBatch origin) {
    var set = RecordSet.newBuilder();
    long latest = Long.MIN_VALUE;
    for (Record record : records) {
      set.addRecords(record.toBuilder().setOffsetDelta(set.getRecordsCount()));
      latest = Math.max(latest, record.getTimestampDeltaMs());
    }
    byte[] plain = set.build().toByteArray();
    boolean compressed = plain.length >= COMPRESS_FROM_BYTES;
    byte[] payload = compressed ? Zstd.compress(plain, COMPRESSION_LEVEL) : plain;
    var batch =
        origin.toBuilder()
            .setFormatAndFlags(
                FORMAT_VERSION | HAS_PRODUCER | (compressed ? CODEC_ZSTD : CODEC_NONE))
            .setRecordCount(records.size())
            .setLastOffsetDelta(records.size() - 1)
            .setMaxTimestampMs(origin.getFirstTimestampMs() + latest)
            .setUncompressedBytes(plain.length)
            .setPayload(ByteString.copyFrom(payload));
    return batch.setPayloadCrc32C(checksum(batch)).build();
  }

  /** The serialized RecordSet. Nothing of a batch is believed before its checksum. */
  static byte[] payload(RecordBatch batch) {
    int flags = batch.getFormatAndFlags();
    int size = batch.getUncompressedBytes();
    if ((flags & 0xff) > FORMAT_VERSION || (flags & ENCRYPTED) != 0) {
      throw new IllegalStateException("format %#x is newer than this client".formatted(flags));
    }
    if (checksum(batch) != batch.getPayloadCrc32C()) {
      throw new IllegalStateException(
          "the batch at offset %d fails its checksum".formatted(batch.getBaseOffset()));
    }
    if (size < 0 || size > PAYLOAD_BYTES_MAX) {
      throw new IllegalStateException("a payload of " + Integer.toUnsignedString(size) + " bytes");
    }
    byte[] payload = batch.getPayload().toByteArray();
    byte[] plain = (flags & CODEC_MASK) == CODEC_NONE ? payload : Zstd.decompress(payload, size);
    if (plain.length != size) {
      throw new IllegalStateException(
          "a payload of %d bytes instead of %d".formatted(plain.length, size));
    }
    return plain;
  }

  /** The records of a batch from an offset on; control batches have none. */
  static List<StoredRecord> decode(RecordBatch batch, long from) {
    List<StoredRecord> found = new ArrayList<>();
    int flags = batch.getFormatAndFlags();
    if ((flags & CONTROL) != 0) {
      return found;
    }
    boolean stamped = (flags & APPEND_TIME) != 0;
    try {
      for (Record record : RecordSet.parseFrom(payload(batch)).getRecordsList()) {
        long offset = batch.getBaseOffset() + record.getOffsetDelta();
        long timestampMs =
            stamped
                ? batch.getMaxTimestampMs()
                : batch.getFirstTimestampMs() + record.getTimestampDeltaMs();
        if (offset >= from) {
          found.add(new StoredRecord(batch.getPartition(), offset, timestampMs, record));
        }
      }
    } catch (InvalidProtocolBufferException garbled) {
      throw new IllegalStateException("records can not be read", garbled);
    }
    return found;
  }
}
