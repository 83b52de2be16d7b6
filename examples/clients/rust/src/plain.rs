//! plain: single records in and out, at any node.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use tonic::transport::Channel;

use crate::Flags;
use crate::cluster::{Cluster, MESSAGE_BYTES_MAX};
use crate::duplex::Duplex;
use crate::error::{Patience, Refused, Result};
use crate::output::{rate, say, show};
use crate::pb::record_service_client::RecordServiceClient;
use crate::pb::{
    OffsetSpec, PartitionStart, PublishRecord, PublishRequest, SubscribeRequest, SubscribeResponse,
};
use crate::records::{FIRST_MS, StoredRecord, sample};

const RECORDS_IN_REQUEST: usize = 100;
const REQUESTS_UNANSWERED_MAX: usize = 8;
const PARTITIONS: u32 = 2;

async fn client(cluster: &Cluster) -> Result<RecordServiceClient<Channel>> {
    let channel = cluster.connect_to_any().await?;
    Ok(RecordServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

struct Publisher<'a> {
    cluster: &'a Cluster,
    topic: &'a str,
    name: &'a str,
    /// Whether record n is stored.
    stored: Vec<bool>,
    sent: usize,
}

impl Publisher<'_> {
    fn resent(&self) -> usize {
        self.sent - self.stored.len()
    }

    fn request(&self, numbers: &[u32]) -> PublishRequest {
        let records = numbers.iter().map(|&n| {
            let record = sample(self.name, n);
            PublishRecord {
                id: n.into(),
                key: record.key,
                value: record.value,
                headers: record.headers,
                timestamp_ms: Some(FIRST_MS + i64::from(n)),
                ..PublishRecord::default()
            }
        });
        PublishRequest {
            topic: self.topic.to_owned(),
            records: records.collect(),
        }
    }

    /// Publishes what is not stored yet. A record without a result is sent again, and may be there
    /// twice: who minds takes the fast path.
    async fn through_one_stream(&mut self, patience: &mut Patience) -> Result<()> {
        let mut client = client(self.cluster).await?;
        let mut stream =
            Duplex::new(|requests| async move { client.publish_stream(requests).await });
        let left: Vec<u32> = (0..)
            .zip(&self.stored)
            .filter_map(|(n, stored)| (!stored).then_some(n))
            .collect();
        let mut requests = left.chunks(RECORDS_IN_REQUEST);
        let mut unanswered = 0;
        let mut refused = None;
        loop {
            while unanswered < REQUESTS_UNANSWERED_MAX * RECORDS_IN_REQUEST {
                let Some(numbers) = requests.next() else {
                    break;
                };
                unanswered += numbers.len();
                self.sent += numbers.len();
                stream.send(self.request(numbers)).await;
            }
            if unanswered == 0 {
                break;
            }
            let response = stream.receive().await?.ok_or_else(Refused::ended)?;
            for result in response.results {
                unanswered -= 1;
                let Some(error) = result.error else {
                    self.stored[usize::try_from(result.id).unwrap_or(usize::MAX)] = true;
                    continue;
                };
                let again = error.indefinite;
                let mut error = Refused::from(error);
                error.retriable |= again;
                if !error.retriable {
                    return Err(error.into());
                }
                refused = Some(error);
            }
            say(json!({"stored": self.stored.iter().filter(|stored| **stored).count()}));
            patience.progress();
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }
}

struct Subscriber<'a> {
    cluster: &'a Cluster,
    topic: &'a str,
    /// Where to go on, by partition.
    positions: BTreeMap<u32, u64>,
    read: u64,
}

impl Subscriber<'_> {
    /// Reads to what is the end when the stream begins.
    async fn through_one_stream(&mut self, patience: &mut Patience) -> Result<()> {
        let offsets = (self.positions.iter())
            .map(|(&partition, &offset)| PartitionStart { partition, offset })
            .collect();
        let request = SubscribeRequest {
            topic: self.topic.to_owned(),
            start: OffsetSpec::Earliest.into(),
            offsets,
            until_end: true,
            ..SubscribeRequest::default()
        };
        let mut client = client(self.cluster).await?;
        let mut stream = client.subscribe(request).await?.into_inner();
        while let Some(response) = stream.message().await? {
            self.positions
                .insert(response.partition, response.next_offset);
            let records = records_of(response);
            self.read += records.len() as u64;
            show(&records);
            patience.progress();
        }
        Ok(())
    }
}

fn records_of(response: SubscribeResponse) -> Vec<StoredRecord> {
    let stored = response.records.into_iter().map(|record| StoredRecord {
        partition: response.partition,
        offset: response.base_offset + u64::from(record.offset_delta),
        timestamp_ms: match response.append_time_ms {
            0 => response.base_timestamp_ms + record.timestamp_delta_ms,
            append_time_ms => append_time_ms,
        },
        record,
    });
    stored.collect()
}

pub async fn plain(cluster: &Cluster, flags: &Flags) -> Result<()> {
    let topic = flags.text("topic")?;
    let count: u32 = flags.number("records")?;
    cluster.create_topic(topic, PARTITIONS).await?;
    cluster.topic(topic).await?;
    let begun = Instant::now();
    let mut publisher = Publisher {
        cluster,
        topic,
        name: flags.text("name")?,
        stored: vec![false; count as usize],
        sent: 0,
    };
    let mut patience = Patience::new();
    while let Err(error) = publisher.through_one_stream(&mut patience).await {
        patience.after(error).await?;
    }
    let publishing = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut subscriber = Subscriber {
        cluster,
        topic,
        positions: BTreeMap::new(),
        read: 0,
    };
    let mut patience = Patience::new();
    while let Err(error) = subscriber.through_one_stream(&mut patience).await {
        patience.after(error).await?;
    }
    let subscribing = begun.elapsed().as_secs_f64();
    say(json!({
        "result": "plain",
        "records": count,
        "read": subscriber.read,
        "resent": publisher.resent(),
        "publish_per_second": rate(count.into(), publishing),
        "subscribe_per_second": rate(subscriber.read, subscribing),
    }));
    Ok(())
}
