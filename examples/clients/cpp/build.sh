# CMake generates the code with Debian's protoc and grpc_cpp_plugin, and builds the program, all below $OUT.
set -eu
cmake -S . -B "$OUT/build" -DCMAKE_BUILD_TYPE=Release -DPROTO="$PROTO"
cmake --build "$OUT/build" --parallel "$(nproc)"
cp "$OUT/build/client" "$OUT/client"
