package streamlog.example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32C;
import streamlog.v1.Batch.RecordBatch;
import streamlog.v1.LogServiceOuterClass.FetchResponse;
import streamlog.v1.RecordOuterClass.Header;
import streamlog.v1.RecordOuterClass.Record;
import streamlog.v1.RecordOuterClass.RecordSet;

/** Checks this program against proto/testdata. */
final class Vectors {
  private static final Gson GSON = new GsonBuilder().serializeNulls().create();
  private static final Map<String, Check> FILES = new LinkedHashMap<>();

  static {
    FILES.put("crc32c.json", Vectors::fitsCrc32c);
    FILES.put("records.json", Vectors::fitsRecord);
    FILES.put("batches.json", Vectors::fitsBatch);
    FILES.put("refused.json", Vectors::isRefused);
    FILES.put("fetches.json", Vectors::fitsFetch);
    FILES.put("partitions.json", vector -> isSpread(vector, bytes(vector.get("key"))));
    FILES.put("coordinators.json", Vectors::fitsCoordinator);
    FILES.put("sequences.json", Vectors::fitsSequence);
    FILES.put("statuses.json", Vectors::fitsStatus);
  }

  private Vectors() {}

  private interface Check {
    boolean fits(JsonObject vector) throws InvalidProtocolBufferException;
  }

  static void check(Flags flags) throws IOException {
    for (var file : FILES.entrySet()) {
      String text = Files.readString(Path.of(flags.text("data"), file.getKey()));
      JsonArray vectors = JsonParser.parseString(text).getAsJsonObject().getAsJsonArray("vectors");
      for (JsonElement vector : vectors) {
        if (!file.getValue().fits(vector.getAsJsonObject())) {
          throw new IllegalStateException(file.getKey() + " does not fit: " + vector);
        }
      }
      Output.say("file", file.getKey(), "checked", vectors.size());
    }
  }

  private static byte[] bytes(JsonElement hex) {
    return HexFormat.of().parseHex(hex.getAsString());
  }

  private static boolean there(JsonElement value) {
    return value != null && !value.isJsonNull();
  }

  private static boolean fitsCrc32c(JsonObject vector) {
    var crc = new CRC32C();
    crc.update(bytes(vector.get("data")));
    return crc.getValue() == vector.get("crc32c").getAsLong();
  }

  private static boolean fitsRecord(JsonObject vector) throws InvalidProtocolBufferException {
    var record =
        Record.newBuilder()
            .setOffsetDelta(vector.get("offset_delta").getAsInt())
            .setTimestampDeltaMs(vector.get("timestamp_delta_ms").getAsLong());
    if (there(vector.get("key"))) {
      record.setKey(ByteString.copyFrom(bytes(vector.get("key"))));
    }
    if (there(vector.get("value"))) {
      record.setValue(ByteString.copyFrom(bytes(vector.get("value"))));
    }
    if (there(vector.get("record_id"))) {
      record.setRecordId(ByteString.copyFrom(bytes(vector.get("record_id"))));
    }
    if (there(vector.get("expires_at_ms"))) {
      record.setExpiresAtMs(vector.get("expires_at_ms").getAsLong());
    }
    for (JsonElement each : vector.getAsJsonArray("headers")) {
      JsonArray pair = each.getAsJsonArray();
      var header = Header.newBuilder().setName(pair.get(0).getAsString());
      if (there(pair.get(1))) {
        header.setValue(ByteString.copyFrom(bytes(pair.get(1))));
      }
      record.addHeaders(header);
    }
    RecordSet set = RecordSet.newBuilder().addRecords(record).build();
    byte[] serialized = bytes(vector.get("in_record_set"));
    return Arrays.equals(set.toByteArray(), serialized)
        && RecordSet.parseFrom(serialized).equals(set);
  }

  private static boolean fitsBatch(JsonObject vector) throws InvalidProtocolBufferException {
    byte[] serialized = bytes(vector.get("batch"));
    RecordBatch batch = RecordBatch.parseFrom(serialized);
    return Arrays.equals(Batches.pack(batch), bytes(vector.get("packed")))
        && Arrays.equals(batch.getPayload().toByteArray(), bytes(vector.get("payload")))
        && Integer.toUnsignedLong(Batches.checksum(batch))
            == vector.get("payload_crc32c").getAsLong()
        && Arrays.equals(Batches.payload(batch), bytes(vector.get("record_set")))
        && Arrays.equals(batch.toByteArray(), serialized);
  }

  private static boolean isRefused(JsonObject vector) throws InvalidProtocolBufferException {
    RecordBatch batch = RecordBatch.parseFrom(bytes(vector.get("batch")));
    boolean corrupt = vector.get("reason").getAsString().equals("CORRUPT_BATCH");
    return (Batches.checksum(batch) != batch.getPayloadCrc32C()) == corrupt;
  }

  private static boolean fitsFetch(JsonObject vector) throws InvalidProtocolBufferException {
    FetchResponse response = FetchResponse.parseFrom(bytes(vector.get("response")));
    var found = new JsonArray();
    try {
      for (RecordBatch batch : response.getBatchesList()) {
        for (var record : Batches.decode(batch, vector.get("from_offset").getAsLong())) {
          JsonObject printed = GSON.toJsonTree(Output.printed(record)).getAsJsonObject();
          printed.remove("partition"); // The vectors do not repeat it.
          found.add(printed);
        }
      }
    } catch (IllegalStateException unreadable) {
      return vector.get("records").isJsonNull();
    }
    return response.getNextOffset() == vector.get("next_offset").getAsLong()
        && JsonParser.parseString(found.toString()).equals(vector.get("records"));
  }

  private static boolean fitsCoordinator(JsonObject vector) {
    return isSpread(vector, vector.get("group").getAsString().getBytes(StandardCharsets.UTF_8));
  }

  private static boolean isSpread(JsonObject vector, byte[] key) {
    for (JsonElement each : vector.getAsJsonArray("partitions")) {
      JsonArray pair = each.getAsJsonArray();
      if (Producer.route(key, pair.get(0).getAsInt()) != pair.get(1).getAsInt()) {
        return false;
      }
    }
    return Producer.crc32(key) == vector.get("crc32").getAsLong();
  }

  private static boolean fitsSequence(JsonObject vector) {
    int next =
        Batches.nextSequence(
            vector.get("base_sequence").getAsInt(), vector.get("record_count").getAsInt());
    return next == vector.get("next_base_sequence").getAsInt();
  }

  private static boolean fitsStatus(JsonObject vector) throws InvalidProtocolBufferException {
    var status = com.google.rpc.Status.parseFrom(bytes(vector.get("status")));
    Failures.Details details = Failures.details(status);
    return status.getCode() == vector.get("code").getAsInt()
        && status.getMessage().equals(vector.get("message").getAsString())
        && details.reason().equals(vector.get("reason").getAsString())
        && GSON.toJsonTree(details.metadata()).equals(vector.get("metadata"))
        && details.retryAfterMs() == vector.get("retry_after_ms").getAsLong();
  }
}
