//! Reading a partition from an offset on, from leader to leader.

use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::batch;
use crate::cluster::Cluster;
use crate::duplex::Duplex;
use crate::error::{Patience, Refused, Result};
use crate::pb::{FetchPartition, FetchRequest, FetchResponse};
use crate::records::StoredRecord;

/// Bytes that may be on their way to a reader.
const WINDOW_BYTES: u64 = 8 << 20;

/// What a response brought: records up to `next`.
pub struct Part {
    pub reader_id: u64,
    pub partition: u32,
    pub records: Vec<StoredRecord>,
    pub next: u64,
}

/// Parts as they come, or why no more do.
pub type Parts = mpsc::Sender<Result<Part>>;

/// Follows one partition until it is dropped.
pub struct Reader {
    pub id: u64,
    _task: JoinSet<()>,
}

impl Reader {
    pub fn start(
        cluster: &Cluster,
        id: u64,
        topic: &str,
        partition: u32,
        position: u64,
        parts: &Parts,
    ) -> Self {
        let mut following = Following {
            cluster: cluster.clone(),
            id,
            topic: topic.to_owned(),
            partition,
            position,
            parts: parts.clone(),
        };
        let mut task = JoinSet::new();
        task.spawn(async move { following.run().await });
        Self { id, _task: task }
    }
}

struct Following {
    cluster: Cluster,
    id: u64,
    topic: String,
    partition: u32,
    position: u64,
    parts: Parts,
}

impl Following {
    async fn run(&mut self) {
        let mut patience = Patience::new();
        loop {
            let Err(error) = self.one_stream(&mut patience).await else {
                return;
            };
            if let Err(error) = patience.after(error).await {
                let _ = self.parts.send(Err(error)).await;
                return;
            }
        }
    }

    /// Returns when nobody wants parts any more.
    async fn one_stream(&mut self, patience: &mut Patience) -> Result<()> {
        let mut leader = self.cluster.leader(&self.topic, self.partition).await?;
        let first = FetchPartition {
            topic_id: leader.topic_id,
            partition: self.partition,
            offset: self.position,
            session_epoch: 1,
            max_bytes: 0,
        };
        let mut stream = Duplex::new(|requests| async move { leader.client.fetch(requests).await });
        let mut request = FetchRequest {
            partitions: vec![first],
            credit_bytes: WINDOW_BYTES,
            ..FetchRequest::default()
        };
        loop {
            stream.send(request).await;
            let mut response = stream.receive().await?.ok_or_else(Refused::ended)?;
            if let Some(error) = response.error.take() {
                return Err(error.into());
            }
            request = FetchRequest {
                credit_bytes: response.encoded_len() as u64,
                ..FetchRequest::default()
            };
            let part = self.decode(&response)?;
            if self.parts.send(Ok(part)).await.is_err() {
                return Ok(());
            }
            self.position = response.next_offset;
            patience.progress();
        }
    }

    fn decode(&self, response: &FetchResponse) -> Result<Part> {
        let mut records = Vec::new();
        for each in &response.batches {
            batch::read(each, self.position, &mut records)?;
        }
        Ok(Part {
            reader_id: self.id,
            partition: self.partition,
            records,
            next: response.next_offset,
        })
    }
}
