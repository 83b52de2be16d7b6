# Maven does everything, code of proto/ included; all of it below $OUT.
set -eu
rm -rf "$OUT/src"
cp -R pom.xml src "$OUT"
cd "$OUT"
# Programs that run for seconds only are compiled once, and fast.
export MAVEN_OPTS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
mvn --batch-mode --quiet -Dproto="$PROTO" package
printf '#!/bin/sh\nexec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "%s/target/client.jar" "$@"\n' "$OUT" >client
chmod +x client
