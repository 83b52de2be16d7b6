# The packages of package-lock.json, code of proto/ by ts-proto, then tsc; all below $OUT.
set -eu
rm -rf "$OUT/src" "$OUT/dist"
cp -R src package.json package-lock.json tsconfig.json status.proto "$OUT"
cd "$OUT"
cmp -s package-lock.json node_modules/.installed || {
  npm ci --ignore-scripts --no-audit --no-fund
  cp package-lock.json node_modules/.installed
}
generated=src/generated
mkdir -p $generated
files=$(cd "$PROTO" && echo streamlog/v1/*.proto)
"$PROTOC" -I "$PROTO" -I . --plugin=node_modules/.bin/protoc-gen-ts_proto \
  --ts_proto_out=$generated \
  --ts_proto_opt=env=node,esModuleInterop=true,importSuffix=.js,forceLong=bigint \
  --ts_proto_opt=oneof=unions-value,outputServices=grpc-js,outputJsonMethods=false \
  $files status.proto
npm run --silent build
printf '#!/bin/sh\nexec node "%s/dist/main.js" "$@"\n' "$OUT" >client
chmod +x client
