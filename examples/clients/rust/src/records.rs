//! What is written, and how it is shown.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::pb::{Header, Record};

pub const FIRST_MS: i64 = 1_700_000_000_000;
const VALUE_BYTES: usize = 100;

/// Record number `n` of a program; its time counts from `FIRST_MS`.
pub fn sample(name: &str, n: u32) -> Record {
    let value = match n % 100 {
        17 => None,
        18 => Some(Bytes::new()),
        _ => Some(Bytes::from(format!(
            "{:x<VALUE_BYTES$}",
            format!("{name}:{n}:")
        ))),
    };
    let headers = if n % 10 == 3 {
        let writer = Header {
            name: "writer".into(),
            value: Some(Bytes::copy_from_slice(name.as_bytes())),
        };
        let none = Header {
            name: "none".into(),
            value: None,
        };
        vec![writer, none]
    } else {
        Vec::new()
    };
    Record {
        key: (n % 10 != 9).then(|| Bytes::from(format!("key-{}", n % 100))),
        value,
        headers,
        timestamp_delta_ms: n.into(),
        ..Record::default()
    }
}

/// A record as a consumer sees it.
pub struct StoredRecord {
    pub partition: u32,
    pub offset: u64,
    pub timestamp_ms: i64,
    pub record: Record,
}

impl StoredRecord {
    pub fn to_json(&self) -> Value {
        let hex = |bytes: &Option<Bytes>| bytes.as_ref().map(hex::encode);
        let headers: Vec<_> = (self.record.headers.iter())
            .map(|header| json!([header.name, hex(&header.value)]))
            .collect();
        json!({
            "partition": self.partition,
            "offset": self.offset,
            "timestamp_ms": self.timestamp_ms,
            "key": hex(&self.record.key),
            "value": hex(&self.record.value),
            "headers": headers,
        })
    }
}
