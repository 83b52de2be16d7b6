//! A member of a group, over all its streams to coordinators.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cluster::Cluster;
use crate::duplex::Duplex;
use crate::error::{Error, Patience, Refused, Result};
use crate::output::{say, show};
use crate::pb::group_service_client::GroupServiceClient;
use crate::pb::member_request::Request;
use crate::pb::member_response::Response;
use crate::pb::{
    GroupOffset, MemberAcknowledge, MemberAssignment, MemberCommit, MemberCommitAnswer,
    MemberHeartbeat, MemberJoin, MemberLeave, MemberRequest, MemberResponse,
};
use crate::reader::{Part, Parts, Reader};

const SESSION_TIMEOUT_MS: u32 = 10_000;
const SESSION_TIMEOUT: Duration = Duration::from_millis(SESSION_TIMEOUT_MS as u64);
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const PARTS_WAITING: usize = 4;

/// A partition that the member owns, since a grant.
struct Hold {
    topic_id: u64,
    grant_epoch: u64,
    position: u64,
    committed: u64,
    reader: Reader,
}

/// One stream to the coordinator.
struct Session {
    stream: Duplex<MemberRequest, MemberResponse>,
    joined_at: Instant,
    /// Unanswered ones, and when they were sent.
    heartbeats: HashMap<u64, Instant>,
    /// Unanswered ones.
    commits: HashMap<u64, BTreeMap<u32, u64>>,
}

impl Session {
    async fn send(&self, request: Request) {
        let request = Some(request);
        self.stream.send(MemberRequest { request }).await;
    }
}

pub struct Member {
    cluster: Cluster,
    topic: String,
    group: String,
    id: String,
    epoch: u64,
    assigned_count: u32,
    session_timeout: Duration,
    heartbeat_interval: Duration,
    /// When the last heartbeat that was answered was sent; none: it was never a member.
    confirmed_at: Option<Instant>,
    holds: BTreeMap<u32, Hold>,
    parts: Parts,
    incoming: mpsc::Receiver<Result<Part>>,
    closing: Option<oneshot::Receiver<()>>,
    left: bool,
    sequence: u64,
    handled: u64,
    pub records: u64,
}

fn random_id() -> String {
    hex::encode(fastrand::u128(..).to_le_bytes())
}

impl Member {
    pub fn new(
        cluster: &Cluster,
        topic: &str,
        group: &str,
        closing: oneshot::Receiver<()>,
    ) -> Self {
        let (parts, incoming) = mpsc::channel(PARTS_WAITING);
        Self {
            cluster: cluster.clone(),
            topic: topic.to_owned(),
            group: group.to_owned(),
            id: random_id(),
            epoch: 0,
            assigned_count: 0,
            session_timeout: SESSION_TIMEOUT,
            heartbeat_interval: SESSION_TIMEOUT / 6,
            confirmed_at: None,
            holds: BTreeMap::new(),
            parts,
            incoming,
            closing: Some(closing),
            left: false,
            sequence: 0,
            handled: 0,
            records: 0,
        }
    }

    /// Until it was closed, and has left.
    pub async fn run(&mut self) -> Result<()> {
        let mut patience = Patience::new();
        loop {
            let error = match self.session(&mut patience).await {
                Ok(()) => return Ok(()),
                Err(Error::Refused(refused)) => {
                    say(json!({"rejoining": refused.reason}));
                    match refused.reason.as_str() {
                        "UNKNOWN_MEMBER" | "STALE_MEMBER_EPOCH" | "STREAM_REPLACED" => {
                            if self.left {
                                return Ok(()); // The answer was lost.
                            }
                            self.begin_anew();
                            Refused::retriable(&refused.reason, "joins as a new member").into()
                        }
                        _ => refused.into(),
                    }
                }
                Err(error) => error,
            };
            self.left = false;
            patience.after(error).await?;
        }
    }

    fn begin_anew(&mut self) {
        self.holds.clear();
        self.id = random_id();
        self.epoch = 0;
    }

    /// Somebody else may own by now what it holds.
    fn fenced(&self) -> bool {
        (self.confirmed_at).is_none_or(|sent| sent.elapsed() > self.session_timeout)
    }

    fn leaving(&self) -> bool {
        self.closing.is_none()
    }

    /// One stream, from join to its end: returns when the member has left.
    async fn session(&mut self, patience: &mut Patience) -> Result<()> {
        let channel = self.cluster.coordinator(&self.group).await?;
        let mut client = GroupServiceClient::new(channel);
        let mut session = Session {
            stream: Duplex::new(|requests| async move { client.membership(requests).await }),
            joined_at: Instant::now(),
            heartbeats: HashMap::new(),
            commits: HashMap::new(),
        };
        session.send(Request::Join(self.join())).await;
        let mut commit = interval(COMMIT_INTERVAL);
        commit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat_at = Instant::now() + self.heartbeat_interval;
        loop {
            let may_read = !self.leaving() && !self.fenced();
            tokio::select! {
                response = session.stream.receive() => match response? {
                    Some(MemberResponse { response: Some(told) }) => {
                        self.told(&mut session, told, patience).await;
                    }
                    Some(_) => {} // Something newer than this client.
                    None if self.left => return Ok(()),
                    None => return Err(Refused::ended().into()),
                },
                part = self.incoming.recv(), if may_read => match part {
                    Some(part) => self.handle(&part?),
                    None => return Err(Error::Protocol("no reader is left".into())),
                },
                () = sleep_until(heartbeat_at) => {
                    self.heartbeat(&mut session).await;
                    heartbeat_at = Instant::now() + self.heartbeat_interval;
                }
                _ = commit.tick() => {
                    self.handled += 1; // It looked, and is alive.
                    if session.commits.is_empty() {
                        let all: Vec<_> = self.holds.keys().copied().collect();
                        self.commit(&mut session, &all).await;
                    }
                }
                () = closed(&mut self.closing) => self.closing = None,
            }
            if self.leaving() && !self.left && self.epoch > 0 && self.all_committed() {
                self.left = true;
                session.send(Request::Leave(MemberLeave {})).await;
            }
        }
    }

    fn join(&self) -> MemberJoin {
        MemberJoin {
            group: self.group.clone(),
            member_id: self.id.clone(),
            topics: vec![self.topic.clone()],
            session_timeout_ms: SESSION_TIMEOUT_MS,
            client_id: "rust".into(),
            member_epoch: self.epoch,
            ..MemberJoin::default()
        }
    }

    async fn heartbeat(&mut self, session: &mut Session) {
        self.sequence += 1;
        session.heartbeats.insert(self.sequence, Instant::now());
        let heartbeat = MemberHeartbeat {
            sequence: self.sequence,
            member_epoch: self.epoch,
            assigned_count: self.assigned_count,
            handled_count: self.handled,
        };
        session.send(Request::Heartbeat(heartbeat)).await;
    }

    /// Sends positions that moved. Until the next assignment whatever is held is held at the member's
    /// epoch, so that is the one to name.
    async fn commit(&mut self, session: &mut Session, partitions: &[u32]) {
        let moved: Vec<_> = (partitions.iter())
            .filter_map(|partition| Some((*partition, self.holds.get(partition)?)))
            .filter(|(_, hold)| hold.position != hold.committed)
            .collect();
        if moved.is_empty() || self.fenced() {
            return;
        }
        let offsets = (moved.iter()).map(|(partition, hold)| GroupOffset {
            topic_id: hold.topic_id,
            partition: *partition,
            offset: hold.position,
            ..GroupOffset::default()
        });
        self.sequence += 1;
        let commit = MemberCommit {
            sequence: self.sequence,
            member_epoch: self.epoch,
            offsets: offsets.collect(),
        };
        let positions = (moved.iter()).map(|(partition, hold)| (*partition, hold.position));
        session.commits.insert(self.sequence, positions.collect());
        session.send(Request::Commit(commit)).await;
    }

    fn all_committed(&self) -> bool {
        self.holds
            .values()
            .all(|hold| hold.position == hold.committed)
    }

    async fn told(&mut self, session: &mut Session, told: Response, patience: &mut Patience) {
        match told {
            Response::Assignment(assignment) => {
                self.confirmed_at = self.confirmed_at.max(Some(session.joined_at));
                self.take(session, assignment).await;
            }
            Response::Heartbeat(answer) => {
                let sent = session.heartbeats.remove(&answer.sequence);
                self.confirmed_at = self.confirmed_at.max(sent);
                patience.progress();
            }
            Response::Commit(answer) => self.committed(session, &answer),
            Response::Error(error) => eprintln!("{}", Refused::from(error)),
        }
    }

    fn committed(&mut self, session: &mut Session, answer: &MemberCommitAnswer) {
        let Some(offsets) = session.commits.remove(&answer.sequence) else {
            return;
        };
        if answer.error.is_some() {
            return; // The newest positions are sent again, if the partitions are still held.
        }
        for (partition, offset) in &offsets {
            if let Some(hold) = self.holds.get_mut(partition) {
                hold.committed = hold.committed.max(*offset);
            }
        }
        say(json!({"committed": offsets}));
    }

    /// Compares what it owns with what it holds.
    async fn take(&mut self, session: &mut Session, assignment: MemberAssignment) {
        let owned = &assignment.assigned;
        let revoked: Vec<_> = (assignment.revoking.iter())
            .map(|each| each.partition)
            .collect();
        // At the epoch at which the positions were taken: if one was reset since, and granted anew,
        // this must not undo it.
        self.commit(session, &revoked).await;
        self.epoch = assignment.member_epoch;
        self.assigned_count = u32::try_from(owned.len()).unwrap_or(u32::MAX);
        self.session_timeout = Duration::from_millis(assignment.session_timeout_ms.into());
        self.heartbeat_interval = Duration::from_millis(assignment.heartbeat_interval_ms.into());
        self.holds.retain(|partition, hold| {
            // What is in neither list, or under another grant, was lost: no commit.
            owned
                .iter()
                .any(|each| each.partition == *partition && each.grant_epoch == hold.grant_epoch)
        });
        for each in owned {
            if !self.holds.contains_key(&each.partition) {
                let position = each
                    .committed
                    .as_ref()
                    .map_or(0, |committed| committed.offset);
                let hold = Hold {
                    topic_id: each.topic_id,
                    grant_epoch: each.grant_epoch,
                    position,
                    committed: position,
                    reader: self.reader(each.partition, position),
                };
                self.holds.insert(each.partition, hold);
            }
        }
        let numbers: Vec<_> = owned.iter().map(|each| each.partition).collect();
        say(json!({"assigned": numbers, "epoch": self.epoch}));
        if !revoked.is_empty() {
            say(json!({"revoked": revoked}));
            let acknowledge = MemberAcknowledge {
                member_epoch: assignment.member_epoch,
                revoked: assignment.revoking,
            };
            // What was sent before it is judged before it.
            session.send(Request::Acknowledge(acknowledge)).await;
        }
    }

    fn reader(&mut self, partition: u32, position: u64) -> Reader {
        self.sequence += 1;
        Reader::start(
            &self.cluster,
            self.sequence,
            &self.topic,
            partition,
            position,
            &self.parts,
        )
    }

    /// Hands out records, and looks at the clock before each of them.
    fn handle(&mut self, part: &Part) {
        for stored in &part.records {
            let fenced = self.fenced();
            let Some(hold) = (self.holds.get_mut(&part.partition))
                .filter(|hold| hold.reader.id == part.reader_id)
            else {
                return; // Read for a grant that has ended.
            };
            if fenced {
                // What is left is read again, and handed out if it is still held then.
                let position = hold.position;
                let reader = self.reader(part.partition, position);
                self.holds
                    .entry(part.partition)
                    .and_modify(|hold| hold.reader = reader);
                return;
            }
            show(std::slice::from_ref(stored));
            hold.position = stored.offset + 1;
            self.records += 1;
            self.handled += 1;
        }
        if let Some(hold) = self.holds.get_mut(&part.partition)
            && hold.reader.id == part.reader_id
        {
            hold.position = part.next;
        }
    }
}

/// Never returns if it was closed before.
async fn closed(closing: &mut Option<oneshot::Receiver<()>>) {
    match closing {
        Some(closing) => {
            let _ = closing.await;
        }
        None => std::future::pending().await,
    }
}
