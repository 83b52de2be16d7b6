//! Nodes: connections, handshakes, leaders, and calls to whichever node answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::error::{CALL_TIMEOUT, Error, Patience, Refused, Result};
use crate::pb::admin_service_client::AdminServiceClient;
use crate::pb::group_service_client::GroupServiceClient;
use crate::pb::log_service_client::LogServiceClient;
use crate::pb::{
    CreateTopicRequest, FindCoordinatorRequest, GetMetadataRequest, HandshakeRequest,
    InitProducerRequest, InitProducerResponse, ListOffsetsRequest, OffsetQuery, OffsetSpec,
    TopicMetadata,
};

pub const MESSAGE_BYTES_MAX: usize = 65 << 20;
const REPLICAS: u32 = 3;

/// Waits for an answer, but not for ever.
async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(answered) => Ok(answered?.into_inner()),
        Err(_) => Err(Refused::timed_out().into()),
    }
}

/// The node that leads a partition, as far as any node knows.
pub struct Leader {
    pub client: LogServiceClient<Channel>,
    pub topic_id: u64,
}

/// Connects once to each node. Clones share the connections.
#[derive(Clone)]
pub struct Cluster {
    addresses: Arc<[String]>,
    next: Arc<AtomicUsize>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    cluster_id: Option<String>,
    channels: HashMap<String, Channel>,
}

impl Cluster {
    /// `bootstrap`: addresses, separated by commas.
    pub fn new(bootstrap: &str) -> Self {
        Self {
            addresses: bootstrap.split(',').map(str::to_owned).collect(),
            next: Arc::default(),
            known: Arc::default(),
        }
    }

    fn channel(&self, address: &str) -> Result<Channel> {
        let mut known = self.known.lock().expect("nobody panics with it");
        if let Some(channel) = known.channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Error::Usage(format!("{address}: {error}")))?
            .connect_timeout(Duration::from_secs(1))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .connect_lazy();
        known.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// A node that shook hands just now: another cluster may have come back at its address.
    pub async fn connect(&self, address: &str) -> Result<Channel> {
        let channel = self.channel(address)?;
        let request = HandshakeRequest {
            min_protocol_version: 1,
            max_protocol_version: 1,
            client_software: "streamlog-example-rust/1".into(),
            features: vec!["idempotence".into()],
            ..HandshakeRequest::default()
        };
        let hello = answer(LogServiceClient::new(channel.clone()).handshake(request)).await?;
        let mut known = self.known.lock().expect("nobody panics with it");
        let id = known
            .cluster_id
            .get_or_insert_with(|| hello.cluster_id.clone());
        if *id != hello.cluster_id {
            return Err(Error::OtherCluster {
                address: address.to_owned(),
                found: hello.cluster_id,
                known: id.clone(),
            });
        }
        Ok(channel)
    }

    /// Any node that answers, now one and now another.
    pub async fn connect_to_any(&self) -> Result<Channel> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.connect(&self.addresses[next % self.addresses.len()])
            .await
    }

    /// The topic, and the addresses of nodes.
    async fn metadata(&self, topic: &str) -> Result<(TopicMetadata, HashMap<u32, String>)> {
        let request = GetMetadataRequest {
            topics: vec![topic.to_owned()],
            all_topics: false,
        };
        let mut client = LogServiceClient::new(self.connect_to_any().await?);
        let mut told = answer(client.get_metadata(request)).await?;
        let Some(mut metadata) = told.topics.pop() else {
            return Err(Error::Protocol("metadata without the topic".into()));
        };
        if let Some(error) = metadata.error.take() {
            return Err(error.into());
        }
        let addresses = told
            .nodes
            .into_iter()
            .map(|node| (node.node_id, node.address));
        Ok((metadata, addresses.collect()))
    }

    pub async fn topic(&self, name: &str) -> Result<TopicMetadata> {
        let mut patience = Patience::new();
        loop {
            match self.metadata(name).await {
                Ok((topic, _)) => return Ok(topic),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    /// Fails while there is none.
    pub async fn leader(&self, topic: &str, partition: u32) -> Result<Leader> {
        let (metadata, addresses) = self.metadata(topic).await?;
        let Some(found) = metadata.partitions.get(partition as usize) else {
            let message = format!("{topic}/{partition}");
            return Err(Refused::retriable("UNKNOWN_PARTITION", message).into());
        };
        let address = addresses
            .get(&found.leader_node_id)
            .ok_or_else(Refused::leader_not_available)?;
        let channel = self.connect(address).await?;
        Ok(Leader {
            client: LogServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
            topic_id: metadata.topic_id,
        })
    }

    /// Does nothing if it is there.
    pub async fn create_topic(&self, name: &str, partition_count: u32) -> Result<()> {
        let request = CreateTopicRequest {
            name: name.to_owned(),
            partition_count,
            replication_factor: REPLICAS,
            ..CreateTopicRequest::default()
        };
        let mut patience = Patience::new();
        loop {
            let created = async {
                let mut client = AdminServiceClient::new(self.connect_to_any().await?);
                answer(client.create_topic(request.clone())).await
            };
            match created.await {
                Ok(_) => return Ok(()),
                Err(Error::Refused(refused)) if refused.reason == "TOPIC_EXISTS" => return Ok(()),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    pub async fn init_producer(&self) -> Result<InitProducerResponse> {
        let mut patience = Patience::new();
        loop {
            let made = async {
                let mut client = LogServiceClient::new(self.connect_to_any().await?);
                answer(client.init_producer(InitProducerRequest {})).await
            };
            match made.await {
                Ok(producer) => return Ok(producer),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    /// A named position, or that of a time.
    pub async fn offset(
        &self,
        topic: &str,
        partition: u32,
        spec: OffsetSpec,
        timestamp_ms: i64,
    ) -> Result<u64> {
        let mut patience = Patience::new();
        loop {
            match self.ask_offset(topic, partition, spec, timestamp_ms).await {
                Ok(offset) => return Ok(offset),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    async fn ask_offset(
        &self,
        topic: &str,
        partition: u32,
        spec: OffsetSpec,
        timestamp_ms: i64,
    ) -> Result<u64> {
        let mut leader = self.leader(topic, partition).await?;
        let query = OffsetQuery {
            topic_id: leader.topic_id,
            partition,
            spec: spec.into(),
            timestamp_ms,
            offset: 0,
        };
        let request = ListOffsetsRequest {
            queries: vec![query],
        };
        let mut told = answer(leader.client.list_offsets(request)).await?;
        match told.answers.pop() {
            Some(found) => found
                .error
                .map_or(Ok(found.offset), |error| Err(error.into())),
            None => Err(Error::Protocol("offsets without an answer".into())),
        }
    }

    /// The node that coordinates a group.
    pub async fn coordinator(&self, group: &str) -> Result<Channel> {
        let mut patience = Patience::new();
        loop {
            let found = async {
                let mut client = GroupServiceClient::new(self.connect_to_any().await?);
                let group = group.to_owned();
                let found =
                    answer(client.find_coordinator(FindCoordinatorRequest { group })).await?;
                match found.leader_address {
                    none if none.is_empty() => Err(Refused::leader_not_available().into()),
                    address => Ok(address),
                }
            };
            match found.await {
                Ok(address) => return self.connect(&address).await,
                Err(error) => patience.after(error).await?,
            }
        }
    }
}
