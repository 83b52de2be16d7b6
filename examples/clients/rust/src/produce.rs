//! produce: zstd batches, idempotent, sent again to the next leader when one is lost.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Flags;
use crate::batch::{self, Origin};
use crate::cluster::Cluster;
use crate::duplex::Duplex;
use crate::error::{CALL_TIMEOUT, Error, Patience, Refused, Result};
use crate::output::{rate, say};
use crate::pb::{
    ProduceEntry, ProduceRequest, ProduceResponse, ProduceResult, Record, RecordBatch,
};
use crate::records::{FIRST_MS, sample};

const UNANSWERED_MAX: usize = 5;
const PARTITIONS: u32 = 3;

type Stream = Duplex<ProduceRequest, ProduceResponse>;

#[derive(Default)]
struct Counts {
    stored: AtomicU64,
    duplicates: AtomicU64,
    resent: AtomicU64,
}

/// Stores what it is given in one partition, in order.
struct PartitionProducer {
    cluster: Cluster,
    topic: String,
    origin: Origin,
    counts: Arc<Counts>,
    /// Records that fill a batch; none when there are no more.
    full: Option<mpsc::Receiver<Vec<Record>>>,
    sequence: u32,
    /// Unanswered, oldest first.
    pending: VecDeque<RecordBatch>,
}

impl PartitionProducer {
    async fn run(mut self) -> Result<()> {
        let mut patience = Patience::new();
        while let Err(error) = self.store_through_one_stream(&mut patience).await {
            patience.after(error).await?;
        }
        Ok(())
    }

    /// Whenever something goes wrong the stream is given up, and what is unanswered is sent again to
    /// the leader of then: the same bytes, in order.
    async fn store_through_one_stream(&mut self, patience: &mut Patience) -> Result<()> {
        let mut leader = self
            .cluster
            .leader(&self.topic, self.origin.partition)
            .await?;
        let topic_id = leader.topic_id;
        let mut stream =
            Stream::new(|requests| async move { leader.client.produce(requests).await });
        (self.counts.resent).fetch_add(self.pending.len() as u64, Ordering::Relaxed);
        for batch in &self.pending {
            send(&stream, topic_id, batch.clone()).await;
        }
        while self.full.is_some() || !self.pending.is_empty() {
            tokio::select! {
                full = next(&mut self.full), if self.pending.len() < UNANSWERED_MAX => match full {
                    Some(records) => {
                        let batch = batch::make(records, FIRST_MS, self.origin, self.sequence)?;
                        self.sequence = batch::next_sequence(self.sequence, batch.record_count);
                        self.pending.push_back(batch.clone());
                        send(&stream, topic_id, batch).await;
                    }
                    None => self.full = None,
                },
                response = stream.receive() => {
                    for result in response?.ok_or_else(Refused::ended)?.results {
                        self.take(result)?;
                    }
                    patience.progress();
                }
                () = sleep(CALL_TIMEOUT), if !self.pending.is_empty() => {
                    return Err(Refused::timed_out().into());
                }
            }
        }
        Ok(())
    }

    /// Results of a partition come in order: this is the one of the oldest batch.
    fn take(&mut self, result: ProduceResult) -> Result<()> {
        let oldest = self.pending.front();
        let Some(batch) = oldest.filter(|batch| request_id(batch) == result.request_id) else {
            let message = "an answer to another batch than the oldest".into();
            return Err(Error::Protocol(message));
        };
        let duplicate = match result.error {
            Some(error) if error.reason == "DUPLICATE_SEQUENCE" => true,
            Some(error) => return Err(error.into()),
            None => result.duplicate,
        };
        (self.counts.duplicates).fetch_add(duplicate.into(), Ordering::Relaxed);
        let count = u64::from(batch.record_count);
        let stored = self.counts.stored.fetch_add(count, Ordering::Relaxed) + count;
        say(json!({"stored": stored}));
        self.pending.pop_front();
        Ok(())
    }
}

/// Never returns once there are no more.
async fn next(full: &mut Option<mpsc::Receiver<Vec<Record>>>) -> Option<Vec<Record>> {
    match full {
        Some(full) => full.recv().await,
        None => std::future::pending().await,
    }
}

/// A sequence is unique among the few that are unanswered.
fn request_id(batch: &RecordBatch) -> u64 {
    batch.base_sequence.into()
}

async fn send(stream: &Stream, topic_id: u64, batch: RecordBatch) {
    let entry = ProduceEntry {
        request_id: request_id(&batch),
        topic_id,
        expected_end_offset: None,
        batch: Some(batch),
    };
    let entries = vec![entry];
    stream.send(ProduceRequest { entries }).await;
}

/// Fills batches: by the key of a record; those without one go where a batch is being filled.
async fn route(flags: &Flags, producers: Vec<mpsc::Sender<Vec<Record>>>) -> Result<()> {
    let name = flags.text("name")?;
    let size: usize = flags.number("batch")?;
    let pause = Duration::from_millis(flags.number("pause-ms")?);
    let mut filling = vec![Vec::new(); producers.len()];
    let mut home = 0;
    for n in 0..flags.number("records")? {
        let record = sample(name, n);
        let to = match &record.key {
            Some(key) => {
                batch::partition_of(key, u32::try_from(producers.len()).unwrap_or(1)) as usize
            }
            None => home,
        };
        filling[to].push(record);
        if filling[to].len() == size {
            if producers[to].send(take(&mut filling[to])).await.is_err() {
                return Ok(()); // It failed, and says why itself.
            }
            home = (home + 1) % producers.len();
            sleep(pause).await;
        }
    }
    for (producer, records) in producers.iter().zip(filling) {
        if !records.is_empty() && producer.send(records).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

pub async fn produce(cluster: &Cluster, flags: &Flags) -> Result<()> {
    let name = flags.text("topic")?;
    cluster.create_topic(name, PARTITIONS).await?;
    let routing = cluster.topic(name).await?.routing.unwrap_or_default();
    if routing.function != "crc32" {
        return Err(Error::Protocol(format!(
            "unknown routing {}",
            routing.function
        )));
    }
    let id = cluster.init_producer().await?;
    let begun = Instant::now();
    let counts = Arc::new(Counts::default());
    let mut tasks = JoinSet::new();
    let mut producers = Vec::new();
    for partition in 0..routing.partition_count {
        let (sender, full) = mpsc::channel(1);
        producers.push(sender);
        let producer = PartitionProducer {
            cluster: cluster.clone(),
            topic: name.to_owned(),
            origin: Origin {
                partition,
                routing_epoch: routing.epoch,
                producer_id: id.producer_id,
                producer_epoch: id.producer_epoch,
            },
            counts: Arc::clone(&counts),
            full: Some(full),
            sequence: 0,
            pending: VecDeque::new(),
        };
        tasks.spawn(producer.run());
    }
    route(flags, producers).await?;
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|panic| Error::Protocol(panic.to_string()))??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let records = counts.stored.load(Ordering::Relaxed);
    say(json!({
        "result": "produce",
        "records": records,
        "seconds": seconds,
        "per_second": rate(records, seconds),
        "duplicates": counts.duplicates.load(Ordering::Relaxed),
        "resent": counts.resent.load(Ordering::Relaxed),
    }));
    Ok(())
}
