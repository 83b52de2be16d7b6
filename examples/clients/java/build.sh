# Maven does everything, code of proto/ included; all of it below $OUT.
set -eu
rm -rf "$OUT/src"
cp -R pom.xml src "$OUT"
cd "$OUT"
mvn --batch-mode --quiet -Dproto="$PROTO" package
printf '#!/bin/sh\nexec java -XX:+UseSerialGC -jar "%s/target/client.jar" "$@"\n' "$OUT" >client
chmod +x client
