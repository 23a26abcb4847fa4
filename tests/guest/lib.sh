# What every act has at hand. Sourced inside of the guest; the working directory is /.
#
# An act is a list of checks. Each prints one line, PASS, FAIL or SKIP and the sentence that it proves; below a FAIL
# stands what its command said. An act goes on after a failure: the rest of the story is worth knowing.

set -u
export LC_ALL=C.UTF-8 PAGER=cat SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 DEBIAN_FRONTEND=noninteractive

UNIT=ringcx-rotator.service
CONFIG=/etc/ringcx-rotator/config.toml
TOKENS=/run/ringcx-rotator/tokens
TOKEN=$TOKENS/sales-ivr
# The stand-in, which runs beside the guest and outlives its reboots.
RINGCX=http://127.0.0.1:8480

# check SENTENCE COMMAND…
check() {
  local sentence=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "PASS $sentence"
  else
    echo "FAIL $sentence"
    printf '%s\n' "\$ $*" "$said" | head -n 40 | sed 's/^/     | /'
  fi
}

skip() { echo "SKIP $1: $2"; }
note() { echo "     $*"; }

# is GOT WANTED
is() { [[ $1 == "$2" ]] || { echo "got:    $1"; echo "wanted: $2"; return 1; }; }
# has TEXT PART
has() { [[ $1 == *"$2"* ]] || { echo "no \"$2\" in:"; echo "$1"; return 1; }; }
hasnt() { [[ $1 != *"$2"* ]] || { echo "\"$2\" in:"; echo "$1"; return 1; }; }
fails() { if "$@"; then echo "this should have failed: $*"; return 1; fi; }
both() { "$1" && "$2"; }

# await SECONDS COMMAND…: until it succeeds
await() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= until)); then echo "in vain:"; "$@"; return 1; fi
    sleep 0.05
  done
}

property() { systemctl show --property="$1" --value "${2:-$UNIT}"; }
active() { is "$(property ActiveState)" active; }
running_since() { property ExecMainStartTimestampMonotonic; }
log() { journalctl --sync; journalctl --unit="$UNIT" --output=cat --no-pager "$@"; }
# The journal from here on: `log --after-cursor="$(now)"`
now() { journalctl --sync; journalctl -n 0 --show-cursor --no-pager | sed -n 's/^-- cursor: //p'; }
# The same for `--since`, where fields are looked for: systemd 252 passes over the first match after a cursor.
moment() { date +@%s.%6N; }

status() { ringcx-rotator status --json; }
# json TEXT PYTHON-EXPRESSION over `it`
json() { python3 -c 'import json, sys; it = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$1" "$2"; }

# The stand-in's record: how often it minted, and whether a token works.
mints() { json "$(curl -sf $RINGCX/_simulate/record)" 'sum(call["call"] == "mint" and call["effect"] for call in it["calls"])'; }
works() { curl -sf -o /dev/null -H "X-Auth-Token: $(cat "$1")" $RINGCX/voice/api/v1/admin/accounts; }
fault() { curl -sf -X POST $RINGCX/_simulate/faults -d "$1" >/dev/null; }
no_faults() { curl -sf -X DELETE $RINGCX/_simulate/faults >/dev/null; }
password() { curl -sf -X PATCH $RINGCX/_simulate/settings -d "{\"user\":{\"name\":\"demo\",\"password\":\"$1\"}}" >/dev/null; }

as() { local user=$1; shift; setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"; }
mode() { stat -c '%U:%G %a' "$1"; }
# A drop-in under a name of its own, of the lines on standard input.
dropin() {
  mkdir -p /etc/systemd/system/$UNIT.d
  cat >"/etc/systemd/system/$UNIT.d/$1.conf"
  systemctl daemon-reload
}
# The drop-in that the policy needs, as an operator would put it in place.
policy_dropin() { ringcx-rotator systemd-dropin --write >/dev/null && systemctl daemon-reload; }
undrop() { rm -f "/etc/systemd/system/$UNIT.d/$1.conf"; systemctl daemon-reload; }
