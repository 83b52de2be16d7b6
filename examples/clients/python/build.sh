# Nothing to build: the client library is installed in the environment of $PYTHON.
set -eu
printf '#!/bin/sh\nexec "%s" "%s/client.py" "$@"\n' "$PYTHON" "$(pwd)" >"$OUT/client"
chmod +x "$OUT/client"
