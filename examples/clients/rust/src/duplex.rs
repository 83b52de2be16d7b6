//! A stream both ways.

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::error::Result;

/// Requests that wait to be sent; more than a producer may have unanswered.
const REQUESTS_WAITING: usize = 16;

/// An open stream. A task reads it: a node may answer an opening only with its first response.
/// Dropping it cancels the call.
pub struct Duplex<Q, A> {
    requests: mpsc::Sender<Q>,
    responses: mpsc::Receiver<Result<A, Status>>,
    _task: JoinSet<()>,
}

impl<Q, A> Duplex<Q, A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    /// `open` calls the method of a stub.
    pub fn new<Open, Opened>(open: Open) -> Self
    where
        Open: FnOnce(ReceiverStream<Q>) -> Opened,
        Opened: Future<Output = Result<Response<Streaming<A>>, Status>> + Send + 'static,
    {
        let (requests, outgoing) = mpsc::channel(REQUESTS_WAITING);
        let (incoming, responses) = mpsc::channel(1);
        let opened = open(ReceiverStream::new(outgoing));
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(status) = forward(opened, &incoming).await {
                let _ = incoming.send(Err(status)).await;
            }
        });
        Self {
            requests,
            responses,
            _task: task,
        }
    }

    /// Does nothing on a broken stream: `receive` tells.
    pub async fn send(&self, request: Q) {
        let _ = self.requests.send(request).await;
    }

    /// The next response; none if the stream ended well. Cancel safe.
    pub async fn receive(&mut self) -> Result<Option<A>> {
        Ok(self.responses.recv().await.transpose()?)
    }
}

async fn forward<A>(
    opened: impl Future<Output = Result<Response<Streaming<A>>, Status>>,
    to: &mpsc::Sender<Result<A, Status>>,
) -> Result<(), Status> {
    let mut stream = opened.await?.into_inner();
    while let Some(response) = stream.message().await? {
        if to.send(Ok(response)).await.is_err() {
            break;
        }
    }
    Ok(())
}
