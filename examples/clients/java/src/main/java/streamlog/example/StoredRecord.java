package streamlog.example;

import streamlog.v1.RecordOuterClass.Record;

/** A record as a consumer sees it. */
record StoredRecord(int partition, long offset, long timestampMs, Record record) {}
