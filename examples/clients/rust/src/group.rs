//! group: a member until standard input ends.

use std::io;
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::Flags;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::member::Member;
use crate::output::say_consumed;

pub async fn group(cluster: &Cluster, flags: &Flags) -> Result<()> {
    let begun = Instant::now();
    let (close, closing) = oneshot::channel();
    // A thread of its own: nothing ends a read of standard input, and the runtime would wait for it.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = close.send(());
    });
    let mut member = Member::new(cluster, flags.text("topic")?, flags.text("group")?, closing);
    member.run().await?;
    say_consumed("group", member.records, begun);
    Ok(())
}
