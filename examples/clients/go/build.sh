# protoc-gen-go and protoc-gen-go-grpc of the versions in go.mod, then the program, all below $OUT.
set -eu
export GOFLAGS=-buildvcs=false
package=streamlog.example/client/streamlogv1
rm -rf "$OUT/src" && mkdir -p "$OUT/src/streamlogv1" "$OUT/bin"
cp ./*.go go.mod go.sum "$OUT/src"
cd "$OUT/src"
go build -o "$OUT/bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
go build -o "$OUT/bin/protoc-gen-go-grpc" google.golang.org/grpc/cmd/protoc-gen-go-grpc
files=$(cd "$PROTO" && echo streamlog/v1/*.proto)
mapping=$(for file in $files; do printf 'M%s=%s,' "$file" "$package"; done)
PATH="$OUT/bin:$PATH" "$PROTOC" -I "$PROTO" --go_out=. --go-grpc_out=. \
  --go_opt="${mapping}module=streamlog.example/client" \
  --go-grpc_opt="${mapping}module=streamlog.example/client" $files
go build -o "$OUT/client" .
