#!/usr/bin/env bash
# What ringcx-rotator costs: the size of its binary, memory and CPU of an idle daemon, and the CPU of a
# rotation, beside a bash script that makes the same calls with curl and jq.
#
#     benches/footprint.sh
#
# Prints a table; exits 1 if a limit is exceeded, 2 if it could not be measured. Takes about two
# minutes, after the release build that it makes unless RINGCX_ROTATOR_BIN names a binary. Needs Linux,
# bash, curl and jq. Everything happens on loopback and in a temporary directory that goes with it.
#
# CPU time is measured, not elapsed time, and the two sides take turns, so that another load on the
# machine weighs on both. It still weighs on caches: for a figure to keep, let the machine be quiet.
set -euo pipefail
export LC_ALL=C
unset SSL_CERT_FILE SSL_CERT_DIR

readonly ROUNDS=5 PER_ROUND=10 ONCE_PER_ROUND=4 # 50 rotations of each kind, 20 one-shot
readonly SETTLE=30 WINDOW=60                    # seconds: before idle counts, and counted
readonly LONGEST=400                            # seconds, the build aside
readonly MAX_BINARY=$((15 << 20)) MAX_RESIDENT=$((12 << 20)) # bytes, not reached
readonly MAX_IDLE=1000                                       # millionths of a core, not reached
readonly MAX_RESIDENT_RATIO=100 MAX_ONCE_RATIO=500           # thousandths, may be reached

give_up() {
    echo "footprint: $*" >&2
    exit 2
}

need() {
    command -v "$1" >/dev/null || give_up "$1 is missing: install it with 'apt install $1', 'dnf install $1' or 'apk add $1'"
}

need curl
need jq
[[ -r /proc/self/smaps_rollup ]] || give_up "needs Linux with /proc/PID/smaps_rollup"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${RINGCX_ROTATOR_BIN:-}
if [[ -z $bin ]]; then
    need cargo
    echo "Building the release binary, which takes minutes the first time" >&2
    # The last line that names an executable is the binary's, wherever the target directory is.
    bin=$(cd "$here" && cargo build --release --bin ringcx-rotator --message-format=json-render-diagnostics |
        jq -r 'select(.executable != null) | .executable' | tail -n 1) || give_up "the build failed"
fi
[[ -x $bin ]] || give_up "no binary at '$bin'"
bin=$(realpath "$bin")

SECONDS=0
work=$(mktemp -d "${TMPDIR:-/tmp}/footprint.XXXXXX")
children=()
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
    local pid
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 2' INT TERM HUP

# wait_until WHAT COMMAND...: until the command succeeds.
wait_until() {
    local what=$1 tries=0
    shift
    until "$@" 2>/dev/null; do
        ((++tries <= 300)) || give_up "$what took longer than 30 s"
        sleep 0.1
    done
}

in_time() {
    ((SECONDS < LONGEST)) || give_up "not done after $LONGEST s: the machine is too busy to measure anything"
}

# ---- The stand-in server: two, because the life of an access token is the server's to choose ----------

readonly PASSWORD='correct-horse-battery'
printf %s "$PASSWORD" >"$work/password"
printf 'whsec_%s' "$(printf 'a webhook secret for a benchmark' | base64)" >"$work/hook-secret"
chmod 600 "$work/password" "$work/hook-secret"

# simulate NAME TTL: starts one; its address is then in $work/NAME.url, its authority in $work/NAME.pem.
simulate() {
    local name=$1 ttl=$2 user flags=()
    for user in script renewing keeping once idle hook; do flags+=("--user=$user:$PASSWORD:aws80"); done
    "$bin" simulate --listen 127.0.0.1:0 --tls --ca-out "$work/$name.pem" --access-token-ttl "$ttl" \
        --json --quiet "${flags[@]}" >"$work/$name.ready" 2>"$work/$name.log" &
    children+=($!)
    wait_until "the stand-in" test -s "$work/$name.ready"
    jq -r .base_url "$work/$name.ready" >"$work/$name.url"
}
simulate brief 1s  # every rotation a second later must log in, or renew its login
simulate lasting 1h

# calls SERVER USER: how many calls, mints and deletes of this user the server has answered.
calls() {
    curl -q -sS --fail --noproxy '*' --cacert "$work/$1.pem" "$(<"$work/$1.url")/_simulate/record" |
        jq -r --arg user "$2" '[.calls[] | select(.user == $user)]
            | "\(length) \(map(select(.call == "mint")) | length) \(map(select(.call == "delete")) | length)"'
}

# ---- The daemons --------------------------------------------------------------------------------------

# policy NAME SERVER: one account, one file; the limits of ours are out of the way, and the old token may
# go at once, so that a rotation is all eight calls.
policy() {
    local name=$1 server=$2
    mkdir -p "$work/$name/sink"
    cat >"$work/$name/config.toml" <<TOML
[daemon]
state-dir = "$work/$name/state"
control-socket = "$work/$name/sock"

[ringcx]
base-url = "$(<"$work/$server.url")"
ca-file = "$work/$server.pem"
logins-per-minute = 100000
requests-per-minute = 100000

[[account]]
name = "$name"
username = "$name"
password = { file = "$work/password" }
platform-id = "aws80"
schedule = { every = "$3", jitter = "0s" }
retention = { max-age = "1ms", overlap = "0s" }

[[account.sink]]
name = "token-file"
type = "file"
path = "$work/$name/sink/token"
mode = "0640"
TOML
}

# daemon NAME: starts one and waits for its first rotation; its process id is then in $started.
daemon() {
    local name=$1
    # Its own copy, so that PSS does not share the program's pages with the stand-ins.
    cp "$bin" "$work/$name/ringcx-rotator"
    "$work/$name/ringcx-rotator" --config "$work/$name/config.toml" run 2>"$work/$name/log" &
    started=$!
    children+=("$started")
    wait_until "the first rotation of $name" test -s "$work/$name/sink/token"
    wait_until "the control socket of $name" test -S "$work/$name/sock"
}

# The idle one has a webhook too, over https under the system's trusted certificates and one more.
policy idle lasting 7d
cat >>"$work/idle/config.toml" <<TOML

[[account.sink]]
name = "hook"
type = "webhook"
# Whoever logs in here is answered 200, whatever the body says.
url = "$(<"$work/lasting.url")/api/auth/login/admin?username=hook&password=$PASSWORD&platformId=aws80"
secret = { file = "$work/hook-secret" }
TOML
sed -i '/^retention/d' "$work/idle/config.toml"
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [[ -r $bundle ]] && break
done
cat "$bundle" "$work/lasting.pem" >"$work/bundle.pem" 2>/dev/null || true
anchors=$(grep -c 'BEGIN CERTIFICATE' "$work/bundle.pem")
export SSL_CERT_FILE=$work/bundle.pem
if [[ -d /etc/ssl/certs ]]; then export SSL_CERT_DIR=/etc/ssl/certs; fi
daemon idle
idle=$started idle_since=$SECONDS
unset SSL_CERT_FILE SSL_CERT_DIR

policy renewing brief 7d
daemon renewing
renewing=$started
policy keeping lasting 7d
daemon keeping
keeping=$started
policy once brief 1s

# ---- The script that it is compared with --------------------------------------------------------------

cat >"$work/rotate.sh" <<'SCRIPT'
#!/usr/bin/env bash
# The eight calls of a rotation as a careful operator would script them: no secret among a process's
# arguments, every answer looked at, the file replaced in one step.
set -euo pipefail
umask 027
token_url=$BASE/voice/api/v1/admin/token
call() { curl -q --silent --show-error --fail --noproxy '*' --max-time 30 --cacert "$CA" "$@"; }
as_login() { call -H @- "$@" <<<"Authorization: Bearer $access"; }
as_token() { call -H @- "${@:2}" <<<"X-Auth-Token: $1"; }
holds() { TOKEN=$1 jq -e 'any(.[]; . == env.TOKEN)' >/dev/null <<<"$2"; }
lacks() { TOKEN=$1 jq -e 'all(.[]; . != env.TOKEN)' >/dev/null <<<"$2"; }

access=$(call --data-urlencode "username=$ACCOUNT" --data-urlencode "password@$PASSWORD_FILE" \
    --data-urlencode platformId=aws80 "$BASE/api/auth/login/admin" | jq -er .accessToken)
before=$(as_login "$token_url")
old=$([[ -e $TARGET ]] && cat "$TARGET" || true)
[[ -z $old ]] || holds "$old" "$before"

new=$(as_login --request POST "$token_url")
[[ $new == *:* ]]
lacks "$new" "$before"
holds "$new" "$(as_token "$new" "$token_url")"
as_token "$new" "$BASE/voice/api/v1/admin/accounts" | jq -e 'length > 0' >/dev/null

temp=$(mktemp "$(dirname "$TARGET")/.token.XXXXXX")
printf %s "$new" >"$temp"
chmod 640 "$temp"
mv -f -- "$temp" "$TARGET"
served=$(<"$TARGET")
holds "$served" "$(as_token "$served" "$token_url")"

if [[ -n $old ]]; then
    # The token is in the address, which would be among the arguments.
    [[ $(call --request DELETE -H "@/dev/fd/3" --config - 3<<<"Authorization: Bearer $access" \
        <<<"url = \"$token_url/$old\"") == true ]]
    lacks "$old" "$(as_token "$new" "$token_url")"
fi
SCRIPT
mkdir "$work/script"
export BASE CA ACCOUNT=script PASSWORD_FILE=$work/password TARGET=$work/script/token
BASE=$(<"$work/brief.url") CA=$work/brief.pem

# ---- Measuring ----------------------------------------------------------------------------------------

tick_us=$((1000000 / $(getconf CLK_TCK)))

# cpu_us PID: CPU time of a process in microseconds, threads that have ended included; in steps of 10 ms.
cpu_us() {
    local stat
    stat=$(<"/proc/$1/stat")
    # After the name, which may hold anything, utime and stime are the twelfth and thirteenth.
    read -ra stat <<<"${stat##*) }"
    echo $(((stat[11] + stat[12]) * tick_us))
}

# threads_ns PID: "TIDS NANOSECONDS" of the threads that it has now.
threads_ns() {
    local task tids='' sum=0 ns
    for task in "/proc/$1/task/"*; do
        read -r ns _ <"$task/schedstat" || return 1
        tids+=${task##*/},
        ((sum += ns))
    done
    echo "$tids $sum"
}

# times_us COMMAND...: runs it and adds user and system time, of its children too, to $spent.
times_us() {
    local TIMEFORMAT='%3U %3S' user system
    { time "$@" >/dev/null 2>"$work/last.log"; } 2>"$work/time" || {
        cat "$work/last.log" >&2
        give_up "failed: $*"
    }
    read -r user system <"$work/time"
    ((spent += (10#${user/./} + 10#${system/./}) * 1000))
}

by_daemon() {
    timeout 60 "$bin" --config "$work/$1/config.toml" rotate --all >"$work/last.log" 2>&1 || {
        cat "$work/last.log" >&2
        give_up "the daemon did not rotate"
    }
}

# field FILE NAME: the number behind this name in a file of the idle daemon's.
field() { sed -n "s/^$2:[[:space:]]*\([0-9][0-9]*\).*/\1/p" "/proc/$idle/$1"; }

# Reads the idle daemon when its time has come, from wherever the measuring is.
idle_start='' idle_us=''
look_at_idle() {
    local age=$((SECONDS - idle_since)) now
    if [[ -z $idle_start ]] && ((age >= SETTLE)); then
        idle_start=$(threads_ns "$idle") idle_start_us=$(cpu_us "$idle") idle_from=${EPOCHREALTIME/./}
        rss=$(field status VmRSS) anon=$(field status RssAnon) pss=$(field smaps_rollup Pss)
        threads=$(field status Threads)
        [[ -n $rss && -n $anon && -n $pss ]] || give_up "this kernel does not tell the memory of a process"
    elif [[ -z $idle_us && -n $idle_start ]] && ((age >= SETTLE + WINDOW)); then
        now=$(threads_ns "$idle")
        idle_for=$((${EPOCHREALTIME/./} - idle_from))
        if [[ ${now% *} == "${idle_start% *}" ]]; then
            idle_us=$(((${now#* } - ${idle_start#* }) / 1000))
        else
            idle_us=$(($(cpu_us "$idle") - idle_start_us))
        fi
    fi
}

# Once each, so that every one has an old token to delete and has done whatever it does only once.
spent=0
times_us bash "$work/rotate.sh"
times_us "$bin" --config "$work/once/config.toml" run --once
by_daemon renewing
by_daemon keeping
declare -A before cost
before[script]=$(calls brief script) before[renewing]=$(calls brief renewing)
before[keeping]=$(calls lasting keeping) before[once]=$(calls brief once)
cost=([script]=0 [renewing]=0 [keeping]=0 [once]=0)

for ((round = 1; round <= ROUNDS; round++)); do
    in_time
    [[ -t 2 ]] && printf '\rRound %s of %s ' "$round" "$ROUNDS" >&2
    spent=0
    for ((i = 0; i < PER_ROUND; i++)); do times_us bash "$work/rotate.sh"; done
    ((cost[script] += spent)) || true
    look_at_idle

    from=$(cpu_us "$renewing")
    for ((i = 0; i < PER_ROUND; i++)); do
        sleep 1 # the access token ends
        by_daemon renewing
        look_at_idle
    done
    ((cost[renewing] += $(cpu_us "$renewing") - from)) || true

    from=$(cpu_us "$keeping")
    for ((i = 0; i < PER_ROUND; i++)); do by_daemon keeping; done
    ((cost[keeping] += $(cpu_us "$keeping") - from)) || true

    spent=0
    for ((i = 0; i < ONCE_PER_ROUND; i++)); do
        sleep 1.1 # the schedule is one second
        times_us "$bin" --config "$work/once/config.toml" run --once
        look_at_idle
    done
    ((cost[once] += spent)) || true
done
until [[ -n $idle_us ]]; do
    in_time
    sleep 1
    look_at_idle
done
[[ -t 2 ]] && printf '\r                \r' >&2

# ---- Were they the same calls? ------------------------------------------------------------------------

declare -A made
for kind in script renewing keeping once; do
    server=brief rotations=$((ROUNDS * PER_ROUND))
    [[ $kind == keeping ]] && server=lasting
    [[ $kind == once ]] && rotations=$((ROUNDS * ONCE_PER_ROUND))
    read -r total mints deletes <<<"$(calls "$server" "$kind")"
    read -r total_before mints_before deletes_before <<<"${before[$kind]}"
    if ((mints - mints_before != rotations || deletes - deletes_before != rotations)); then
        give_up "$kind: $rotations rotations made $((mints - mints_before)) mints and $((deletes - deletes_before)) deletes"
    fi
    made[$kind]=$(((total - total_before) * 10 / rotations))
    cost[$kind]=$((cost[$kind] / rotations))
done

# ---- The table ----------------------------------------------------------------------------------------

over=0
# decimal VALUE SCALE DIGITS: VALUE / SCALE with so many digits.
decimal() {
    local scaled=$((($1 * 10 ** $3 + $2 / 2) / $2))
    printf '%d.%0*d' $((scaled / 10 ** $3)) "$3" $((scaled % 10 ** $3))
}
row() { printf '%-58s %12s  %-16s %s\n' "$@"; }
# judged MEASURE SHOWN LIMIT VALUE BOUND
judged() {
    local verdict=ok
    # A limit that is named as "under" is not to be reached.
    if (($4 > $5)) || { [[ $3 == under* ]] && (($4 == $5)); }; then
        verdict=OVER
        over=1
    fi
    row "$1" "$2" "$3" "$verdict"
}
rotation() { row "$1" "$(decimal "${cost[$2]}" 1000 1) ms" "" "$(decimal "${made[$2]}" 10 1) calls"; }
ratio() {
    local thousandths=$(((cost[$2] * 1000 + cost[script] / 2) / cost[script]))
    judged "$1" "$(decimal "$thousandths" 1000 3)" "at most 0.$3" "$thousandths" "$((10#$3))"
}

size=$(stat -Lc %s "$bin")
if command -v strip >/dev/null && strip -o "$work/stripped" "$bin" 2>/dev/null; then
    size=$(stat -c %s "$work/stripped")
fi
share=$((idle_us * 1000000 / idle_for))

echo "$("$bin" --version), $(date -u +%F), $(nproc) cores, Linux $(uname -r), $(curl -q --version | cut -d' ' -f1,2 | head -n 1), $(jq --version)"
echo
row measure value limit ''
judged "release binary, stripped" "$(decimal "$size" 1048576 2) MiB" "under 15 MiB" "$size" "$MAX_BINARY"
judged "idle, one account: resident memory (VmRSS)" "$(decimal "$rss" 1024 2) MiB" "under 12 MiB" \
    $((rss * 1024)) "$MAX_RESIDENT"
row "  of it not backed by a file (RssAnon)" "$(decimal "$anon" 1024 2) MiB" "" "$threads threads"
row "  shared pages by parts (PSS)" "$(decimal "$pss" 1024 2) MiB" "" "$anchors trusted CAs"
judged "idle, one account: CPU, share of a core" "$(decimal "$share" 10000 4) %" "under 0.1 %" "$share" "$MAX_IDLE"
rotation "CPU of a rotation in bash, curl and jq" script
rotation "CPU of a rotation by the daemon, access renewed each time" renewing
ratio "  in terms of bash, curl and jq" renewing "$MAX_RESIDENT_RATIO"
rotation "CPU of a rotation by the daemon, access token still good" keeping
ratio "  in terms of bash, curl and jq" keeping "$MAX_RESIDENT_RATIO"
rotation "CPU of a one-shot rotation (run --once)" once
ratio "  in terms of bash, curl and jq" once "$MAX_ONCE_RATIO"
exit "$over"
