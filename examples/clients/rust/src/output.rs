//! Lines for whoever started the program.

use std::io::{Write, stdout};
use std::time::Instant;

use serde_json::{Value, json};

use crate::records::StoredRecord;

/// Prints lines together. Whoever closed the other end does not want them.
fn print(lines: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

#[expect(clippy::needless_pass_by_value, reason = "made for it in the call")]
pub fn say(line: Value) {
    print(&format!("{line}\n"));
}

pub fn show(records: &[StoredRecord]) {
    let mut lines = String::new();
    for record in records {
        lines += &record.to_json().to_string();
        lines.push('\n');
    }
    print(&lines);
}

/// The last line of whatever reads records.
pub fn say_consumed(command: &str, records: u64, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    say(json!({
        "result": command,
        "records": records,
        "seconds": seconds,
        "per_second": rate(records, seconds),
    }));
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub fn rate(records: u64, seconds: f64) -> f64 {
    records as f64 / seconds
}
