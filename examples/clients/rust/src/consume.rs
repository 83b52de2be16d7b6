//! consume and replay: all partitions, or one, from their start, an offset or a time.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::Flags;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::output::{say_consumed, show};
use crate::pb::OffsetSpec;
use crate::reader::Reader;

const PARTS_WAITING: usize = 4;

pub async fn consume(cluster: &Cluster, flags: &Flags) -> Result<()> {
    let begun = Instant::now();
    let topic = flags.text("topic")?;
    let wanted: u64 = flags.optional("records")?.unwrap_or(0);
    let print = flags.optional("print")?.unwrap_or(1) != 0;
    let only: Option<u32> = flags.optional("partition")?;
    let (start_at, time_ms) = match flags.optional("time-ms")? {
        Some(time_ms) => (OffsetSpec::Timestamp, time_ms),
        None => (OffsetSpec::Earliest, 0),
    };
    let (parts, mut incoming) = mpsc::channel(PARTS_WAITING);
    let mut readers = Vec::new();
    let mut ends = HashMap::new(); // Of partitions that are not read to their end.
    for partition in cluster.topic(topic).await?.partitions {
        let number = partition.partition;
        if only.is_some_and(|only| only != number) {
            continue;
        }
        let start = match flags.optional("offset")? {
            Some(offset) => offset,
            None => cluster.offset(topic, number, start_at, time_ms).await?,
        };
        let end = cluster.offset(topic, number, OffsetSpec::Latest, 0).await?;
        if wanted > 0 || start < end {
            ends.insert(number, end);
            let id = number.into();
            readers.push(Reader::start(cluster, id, topic, number, start, &parts));
        }
    }
    let mut count = 0;
    while !ends.is_empty() && (wanted == 0 || count < wanted) {
        let Some(part) = incoming.recv().await else {
            return Err(Error::Protocol("nobody reads any more".into()));
        };
        let part = part?;
        count += part.records.len() as u64;
        if print {
            show(&part.records);
        }
        if wanted == 0
            && ends
                .get(&part.partition)
                .is_some_and(|end| part.next >= *end)
        {
            ends.remove(&part.partition);
        }
    }
    say_consumed("consume", count, begun);
    Ok(())
}
