//! Batches: made, sealed with a checksum, and read back.

use bytes::{BufMut, Bytes};
use prost::Message;

use crate::pb::{Record, RecordBatch, RecordSet};
use crate::records::StoredRecord;

/// Parts of `format_and_flags`.
const FORMAT_MASK: u32 = 0xff;
const FORMAT: u32 = 1;
const CODEC_MASK: u32 = 0xf00;
const CODEC_NONE: u32 = 1 << 8;
const CODEC_ZSTD: u32 = 2 << 8;
const APPEND_TIME: u32 = 1 << 12;
const CONTROL: u32 = 1 << 13;
const HAS_PRODUCER: u32 = 1 << 15;
const DELETE_HORIZON: u32 = 1 << 17;
const ENCRYPTED: u32 = 1 << 18;

const PAYLOAD_BYTES_MAX: u32 = 64 << 20;
const SEQUENCES: u32 = 1 << 31;
const ZSTD_LEVEL: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("the batch at {base_offset} fails its checksum")]
    WrongChecksum { base_offset: u64 },
    #[error("format {0:#x} is newer than this client")]
    Newer(u32),
    #[error("a payload of {found} bytes instead of {told}")]
    Size { found: usize, told: u32 },
    #[error("zstd: {0}")]
    Zstd(#[from] std::io::Error),
    #[error("a payload that is no RecordSet: {0}")]
    RecordSet(#[from] prost::DecodeError),
}

/// What all batches of a producer in a partition have.
#[derive(Clone, Copy)]
pub struct Origin {
    pub partition: u32,
    pub routing_epoch: u32,
    pub producer_id: u64,
    pub producer_epoch: u32,
}

/// The sequence that follows a batch.
pub fn next_sequence(base: u32, records: u32) -> u32 {
    (base + records) % SEQUENCES
}

/// Which of so many partitions has a key, or a group.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    crc32fast::hash(key) % partitions
}

/// What the checksum covers before the payload.
pub fn packed(batch: &RecordBatch) -> Vec<u8> {
    let append_time = batch.format_and_flags & APPEND_TIME != 0;
    let mut to = Vec::with_capacity(64);
    to.put_u32_le(batch.format_and_flags & !(APPEND_TIME | DELETE_HORIZON));
    to.put_u32_le(batch.partition);
    to.put_u32_le(batch.last_offset_delta);
    to.put_u32_le(batch.record_count);
    to.put_i64_le(batch.first_timestamp_ms);
    to.put_i64_le(if append_time {
        0
    } else {
        batch.max_timestamp_ms
    });
    to.put_u64_le(batch.producer_id);
    to.put_u32_le(batch.producer_epoch);
    to.put_u32_le(batch.base_sequence);
    to.put_u32_le(batch.schema_id);
    to.put_u32_le(batch.routing_epoch);
    to.put_u32_le(batch.encryption_key_id);
    to.put_u32_le(batch.uncompressed_bytes);
    to
}

pub fn checksum(batch: &RecordBatch) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&packed(batch)), &batch.payload)
}

/// One zstd batch of records, not none, whose times count from `first_ms`.
pub fn make(
    mut records: Vec<Record>,
    first_ms: i64,
    origin: Origin,
    base_sequence: u32,
) -> Result<RecordBatch, BatchError> {
    for (delta, record) in (0..).zip(&mut records) {
        record.offset_delta = delta;
    }
    let last_ms = records
        .iter()
        .map(|r| r.timestamp_delta_ms)
        .max()
        .unwrap_or(0);
    let record_count = size(records.len());
    let plain = RecordSet { records }.encode_to_vec();
    let mut batch = RecordBatch {
        format_and_flags: FORMAT | CODEC_ZSTD | HAS_PRODUCER,
        partition: origin.partition,
        last_offset_delta: record_count - 1,
        record_count,
        first_timestamp_ms: first_ms,
        max_timestamp_ms: first_ms + last_ms,
        producer_id: origin.producer_id,
        producer_epoch: origin.producer_epoch,
        base_sequence,
        routing_epoch: origin.routing_epoch,
        uncompressed_bytes: size(plain.len()),
        payload: zstd::bulk::compress(&plain, ZSTD_LEVEL)?.into(),
        ..RecordBatch::default()
    };
    batch.payload_crc32c = checksum(&batch);
    Ok(batch)
}

fn size(length: usize) -> u32 {
    length.try_into().expect("batches are far below 4 GiB")
}

/// The serialized `RecordSet`; nothing of a batch is believed before its checksum.
pub fn plain_payload(batch: &RecordBatch) -> Result<Bytes, BatchError> {
    let flags = batch.format_and_flags;
    let told = batch.uncompressed_bytes;
    if flags & FORMAT_MASK > FORMAT || flags & ENCRYPTED != 0 {
        return Err(BatchError::Newer(flags));
    }
    if checksum(batch) != batch.payload_crc32c {
        let base_offset = batch.base_offset;
        return Err(BatchError::WrongChecksum { base_offset });
    }
    let plain = match flags & CODEC_MASK {
        CODEC_NONE => batch.payload.clone(),
        _ if told > PAYLOAD_BYTES_MAX => Bytes::new(),
        _ => zstd::bulk::decompress(&batch.payload, told as usize)?.into(),
    };
    if plain.len() != told as usize {
        let found = plain.len();
        return Err(BatchError::Size { found, told });
    }
    Ok(plain)
}

/// Appends the records of a batch from an offset on.
pub fn read(batch: &RecordBatch, from: u64, to: &mut Vec<StoredRecord>) -> Result<(), BatchError> {
    if batch.format_and_flags & CONTROL != 0 {
        return Ok(());
    }
    let append_time = batch.format_and_flags & APPEND_TIME != 0;
    let set = RecordSet::decode(plain_payload(batch)?)?;
    let records = set.records.into_iter().map(|record| StoredRecord {
        partition: batch.partition,
        offset: batch.base_offset + u64::from(record.offset_delta),
        timestamp_ms: if append_time {
            batch.max_timestamp_ms
        } else {
            batch.first_timestamp_ms + record.timestamp_delta_ms
        },
        record,
    });
    to.extend(records.filter(|stored| stored.offset >= from));
    Ok(())
}
