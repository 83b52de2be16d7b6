//! Refusals, and how long to go on in spite of them.

use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::batch::BatchError;
use crate::pb;

pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("{address} belongs to cluster {found}, not to {known}")]
    OtherCluster {
        address: String,
        found: String,
        known: String,
    },
    #[error("{0}")]
    Protocol(String),
    #[error("{0}")]
    Usage(String),
    #[error("vectors: {0}")]
    Vectors(String),
}

/// A request that failed: as a node said it, in a stream or by a status, or because a call was cut.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refused {
    /// The stable name of the refusal; of a call that was cut, its status code.
    pub reason: String,
    pub message: String,
    /// The same may succeed later, perhaps at another node.
    pub retriable: bool,
    pub retry_after: Duration,
}

impl Refused {
    pub fn retriable(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            retriable: true,
            retry_after: Duration::ZERO,
        }
    }

    pub fn leader_not_available() -> Self {
        Self::retriable("LEADER_NOT_AVAILABLE", "no leader is known")
    }

    pub fn timed_out() -> Self {
        Self::retriable("DEADLINE_EXCEEDED", "no answer in time")
    }

    /// A stream that ended well although it should have gone on.
    pub fn ended() -> Self {
        Self::retriable("OK", "the stream ended")
    }
}

/// A topic that was just made is not known everywhere yet, and replicas need nodes that registered.
fn early_days(reason: &str) -> bool {
    matches!(
        reason,
        "UNKNOWN_TOPIC" | "UNKNOWN_PARTITION" | "INVALID_REPLICATION_FACTOR"
    )
}

impl From<pb::Error> for Refused {
    fn from(error: pb::Error) -> Self {
        Self {
            retriable: error.retriable || early_days(&error.reason),
            retry_after: Duration::from_millis(error.retry_after_ms.into()),
            reason: error.reason,
            message: error.message,
        }
    }
}

impl From<pb::Error> for Error {
    fn from(error: pb::Error) -> Self {
        Refused::from(error).into()
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let retriable_code = matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted
        );
        let details = Details::decode(status.details());
        let (reason, retriable) = match details.reason {
            Some(reason) => {
                let retriable = retriable_code || early_days(&reason);
                (reason, retriable)
            }
            // Without a reason the call was cut.
            None => (format!("{:?}", status.code()), true),
        };
        Self {
            reason,
            message: status.message().into(),
            retriable,
            retry_after: details.retry_after,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Refused::from(status).into()
    }
}

/// What stands in the trailer `grpc-status-details-bin`.
#[derive(Default)]
pub struct Details {
    pub reason: Option<String>,
    pub retry_after: Duration,
}

/// google.rpc.Status, and what it is made of.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Details {
    /// Empty if it is not what it should be.
    pub fn decode(trailer: &[u8]) -> Self {
        let mut found = Self::default();
        for any in RpcStatus::decode(trailer).unwrap_or_default().details {
            let value = any.value.as_slice();
            if any.type_url.ends_with("google.rpc.ErrorInfo") {
                let info = ErrorInfo::decode(value).unwrap_or_default();
                if info.domain == "streamlog" {
                    found.reason = Some(info.reason);
                }
            } else if any.type_url.ends_with("google.rpc.RetryInfo") {
                let retry = RetryInfo::decode(value).unwrap_or_default();
                let delay = retry.retry_delay.unwrap_or_default();
                found.retry_after = Duration::from_secs(delay.seconds.try_into().unwrap_or(0))
                    + Duration::from_nanos(delay.nanos.try_into().unwrap_or(0));
            }
        }
        found
    }
}

/// Pauses between attempts: longer and longer, until something succeeds.
pub struct Patience {
    pause: Duration,
    since: Instant,
    begun: Instant,
}

impl Patience {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            pause: FIRST_PAUSE,
            since: now,
            begun: now,
        }
    }

    /// Something succeeded.
    pub fn progress(&mut self) {
        self.pause = FIRST_PAUSE;
        self.since = Instant::now();
    }

    /// Pauses; another attempt begins when it returns.
    ///
    /// # Errors
    /// The error that it was given, if that is final or has gone on for too long.
    pub async fn after(&mut self, error: Error) -> Result<()> {
        if self.begun.elapsed() > CALL_TIMEOUT {
            self.progress(); // It worked, though nothing may have come.
        }
        let retry_after = match &error {
            Error::Refused(refused) if refused.retriable => refused.retry_after,
            Error::Batch(BatchError::WrongChecksum { .. }) => Duration::ZERO,
            _ => return Err(error),
        };
        if self.since.elapsed() > PATIENCE {
            return Err(error);
        }
        sleep(
            self.pause
                .max(retry_after)
                .mul_f64(0.75 + fastrand::f64() / 2.0),
        )
        .await;
        self.pause = LONGEST_PAUSE.min(2 * self.pause);
        self.begun = Instant::now();
        Ok(())
    }
}
