//! A streamlog client made of docs/protocol.md and proto/ alone; ../../README.md says what it does.

mod batch;
mod cluster;
mod consume;
mod duplex;
mod error;
mod group;
mod member;
mod output;
mod plain;
mod produce;
mod reader;
mod records;
mod vectors;

use std::collections::HashMap;
use std::process::ExitCode;
use std::str::FromStr;

use cluster::Cluster;
use error::{Error, Result};

/// Generated code.
pub mod pb {
    #![allow(clippy::pedantic)]
    tonic::include_proto!("streamlog.v1");
}

/// Flags as given: `--name value`.
pub struct Flags(HashMap<String, String>);

impl Flags {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut flags = HashMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let name = name
                .strip_prefix("--")
                .ok_or_else(|| Error::Usage(format!("{name} is no flag")))?;
            flags.insert(name.to_owned(), value);
        }
        Ok(Self(flags))
    }

    /// One that the command needs.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Error::Usage(format!("--{name} is missing")))
    }

    /// A number, if it was given.
    pub fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::Usage(format!("--{name} {text} is no number"))),
        }
    }

    /// A number that the command needs.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        self.optional(name)?
            .ok_or_else(|| Error::Usage(format!("--{name} is missing")))
    }
}

async fn run(mut words: impl Iterator<Item = String>) -> Result<()> {
    let command = words.next().unwrap_or_default();
    let flags = Flags::parse(words)?;
    if command == "vectors" {
        return vectors::vectors(&flags);
    }
    let cluster = Cluster::new(flags.text("bootstrap")?);
    match command.as_str() {
        "plain" => plain::plain(&cluster, &flags).await,
        "produce" => produce::produce(&cluster, &flags).await,
        "consume" | "replay" => consume::consume(&cluster, &flags).await,
        "group" => group::group(&cluster, &flags).await,
        _ => Err(Error::Usage(format!("unknown command {command}"))),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
