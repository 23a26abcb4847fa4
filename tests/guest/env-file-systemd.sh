#!/bin/sh
# Asks the systemd that runs this machine what it reads from edited env-files. Needs root and systemd as
# process 1; makes one unit in /run and takes it away again.
#
# usage: env-file-systemd.sh DIRECTORY, one that a test has filled:
#   RINGCX_ROTATOR_ENV_CASES=DIRECTORY cargo test --lib what_a_unit_is_given
#
# caseNNNN.env is an EnvironmentFile=; each line of caseNNNN.expected is a value of KEY that it may have, an
# empty one standing for none. Exits 0 if all of them are as expected, and prints how many there were.
set -eu

directory=$(realpath "$1")
unit=/run/systemd/system/ringcx-rotator-case@.service
trap 'rm -f "$unit"; systemctl daemon-reload' EXIT

cat > "$unit" <<UNIT
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
EnvironmentFile=$directory/%i.env
ExecStart=-/usr/bin/printenv KEY
StandardOutput=truncate:$directory/%i.read
UNIT
systemctl daemon-reload

cases=0 wrong=0 tokens=0
for file in "$directory"/case*.env; do
  name=$(basename "$file" .env)
  : > "$directory/$name.read"
  # A unit whose file cannot be read at all does not start: then nothing was read.
  systemctl start "ringcx-rotator-case@$name.service" 2>/dev/null || true
  read=$(cat "$directory/$name.read")
  cases=$((cases + 1))
  [ -z "$read" ] || tokens=$((tokens + 1))
  if ! grep -qxF -e "$read" "$directory/$name.expected"; then
    wrong=$((wrong + 1))
    printf '%s: read "%s", expected one of:\n' "$name" "$read" >&2
    cat "$directory/$name.expected" >&2
    cat -A "$file" >&2
  fi
done
if [ "$cases" -lt 100 ] || [ "$tokens" -lt 50 ]; then
  echo "only $cases cases, and $tokens of them with a token: they are not made as they should be" >&2
  exit 2
fi
echo "$(systemctl --version | head -n 1): $cases env-files, $tokens with a token, $wrong wrong"
[ "$wrong" -eq 0 ]
