//! Generates the code from `$PROTO`, with the compiler `$PROTOC`.

use std::path::PathBuf;
use std::{env, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=PROTO");
    let proto = PathBuf::from(env::var("PROTO").unwrap_or_else(|_| "../../../proto".into()));
    let files = ["admin", "group", "log", "record"]
        .map(|name| proto.join(format!("streamlog/v1/{name}_service.proto")));
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".") // Payloads, keys and values are slices of what came, not copies.
        .compile_protos(&files, &[proto])
}
