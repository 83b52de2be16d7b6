//! vectors: this program against proto/testdata.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

use crate::Flags;
use crate::batch::{self, BatchError};
use crate::error::{Details, Error, Result};
use crate::output::say;
use crate::pb::{FetchResponse, Header, Record, RecordBatch, RecordSet};

/// Whether a vector fits; none if it is not even what a vector of its file should be.
type Fits = fn(&Value) -> Option<bool>;

const FILES: [(&str, Fits); 9] = [
    ("crc32c.json", crc32c),
    ("records.json", record),
    ("batches.json", batch),
    ("refused.json", refused),
    ("fetches.json", fetch),
    ("partitions.json", |v| partitions(v, &raw(&v["key"])?)),
    ("coordinators.json", |v| {
        partitions(v, v["group"].as_str()?.as_bytes())
    }),
    ("sequences.json", sequence),
    ("statuses.json", status),
];

fn raw(value: &Value) -> Option<Bytes> {
    Some(hex::decode(value.as_str()?).ok()?.into())
}

fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    T::try_from(value.as_u64()?).ok()
}

fn crc32c(v: &Value) -> Option<bool> {
    Some(v["crc32c"] == crc32c::crc32c(&raw(&v["data"])?))
}

fn record(v: &Value) -> Option<bool> {
    let headers = v["headers"].as_array()?.iter().map(|pair| {
        Some(Header {
            name: pair[0].as_str()?.to_owned(),
            value: raw(&pair[1]),
        })
    });
    let record = Record {
        key: raw(&v["key"]),
        value: raw(&v["value"]),
        headers: headers.collect::<Option<_>>()?,
        offset_delta: number(&v["offset_delta"])?,
        timestamp_delta_ms: v["timestamp_delta_ms"].as_i64()?,
        record_id: raw(&v["record_id"]),
        expires_at_ms: v["expires_at_ms"].as_i64(),
    };
    let set = RecordSet {
        records: vec![record],
    };
    let expected = raw(&v["in_record_set"])?;
    Some(set.encode_to_vec() == expected && RecordSet::decode(expected).ok()? == set)
}

fn batch(v: &Value) -> Option<bool> {
    let serialized = raw(&v["batch"])?;
    let batch = RecordBatch::decode(serialized.clone()).ok()?;
    Some(
        batch::packed(&batch) == raw(&v["packed"])?
            && v["payload_crc32c"] == batch::checksum(&batch)
            && batch.payload == raw(&v["payload"])?
            && batch::plain_payload(&batch).ok()? == raw(&v["record_set"])?
            && batch.encode_to_vec() == serialized,
    )
}

fn refused(v: &Value) -> Option<bool> {
    let batch = RecordBatch::decode(raw(&v["batch"])?).ok()?;
    let intact = batch::checksum(&batch) == batch.payload_crc32c;
    Some(intact == (v["reason"].as_str()? != "CORRUPT_BATCH"))
}

fn fetch(v: &Value) -> Option<bool> {
    let response = FetchResponse::decode(raw(&v["response"])?).ok()?;
    let from = number(&v["from_offset"])?;
    let mut found = Vec::new();
    for each in &response.batches {
        match batch::read(each, from, &mut found) {
            Ok(()) => {}
            Err(BatchError::WrongChecksum { .. }) => return Some(v["records"].is_null()),
            Err(_) => return None,
        }
    }
    let shown: Vec<_> = (found.iter())
        .map(|stored| {
            let mut shown = stored.to_json();
            shown.as_object_mut()?.remove("partition"); // The vectors do not repeat it.
            Some(shown)
        })
        .collect::<Option<_>>()?;
    Some(json!(shown) == v["records"] && v["next_offset"] == response.next_offset)
}

fn partitions(v: &Value, key: &[u8]) -> Option<bool> {
    let mut fits = v["crc32"] == crc32fast::hash(key);
    for pair in v["partitions"].as_array()? {
        fits &= pair[1] == batch::partition_of(key, number(&pair[0])?);
    }
    Some(fits)
}

fn sequence(v: &Value) -> Option<bool> {
    let next = batch::next_sequence(number(&v["base_sequence"])?, number(&v["record_count"])?);
    Some(v["next_base_sequence"] == next)
}

fn status(v: &Value) -> Option<bool> {
    let details = Details::decode(&raw(&v["status"])?);
    let retry_after_ms: u64 = number(&v["retry_after_ms"])?;
    Some(
        details.reason.as_deref() == v["reason"].as_str()
            && details.retry_after.as_millis() == retry_after_ms.into(),
    )
}

fn check(folder: &Path, name: &str, fits: Fits) -> Result<usize, String> {
    let text = fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
    let file: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let vectors = file["vectors"].as_array().ok_or("no vectors")?;
    for (i, vector) in vectors.iter().enumerate() {
        if fits(vector) != Some(true) {
            return Err(format!("number {i} {} does not fit", vector["name"]));
        }
    }
    Ok(vectors.len())
}

pub fn vectors(flags: &Flags) -> Result<()> {
    let folder = Path::new(flags.text("data")?);
    for (name, fits) in FILES {
        let checked = check(folder, name, fits)
            .map_err(|message| Error::Vectors(format!("{name}: {message}")))?;
        say(json!({"file": name, "checked": checked}));
    }
    Ok(())
}
