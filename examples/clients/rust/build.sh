# tonic-prost-build generates the code with $PROTOC when cargo runs build.rs; everything is below $OUT.
set -eu
cargo build --release --locked --target-dir "$OUT/target"
cp "$OUT/target/release/client" "$OUT/client"
