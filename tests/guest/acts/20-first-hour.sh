# From an installed package to a living token file, which its readers and nobody else can read.

echo canary-first >/root/password
set_up() {
  ringcx-rotator init --account sales-ivr --username demo --platform-id aws80 --password-file /root/password \
    --base-url $RINGCX </dev/null
}
check "init sets it up" set_up
check "the policy is for root and the service" is "$(mode $CONFIG)" "root:ringcx-rotator 640"
secret=$(ls -d /etc/ringcx-rotator/credentials/sales-ivr*)
note "the password is kept in $secret"
check "the password is root's alone" is "$(mode "$secret")" "root:root 600"
before=$(cat $CONFIG "$secret" | sha256sum)
check "a second init does not overwrite it without being asked" fails set_up
check "all is as it was" is "$(cat $CONFIG "$secret" | sha256sum)" "$before"
check "init mints nothing" is "$(mints)" 0
# The acts rotate more often than anybody should, and do not want to wait.
sed -i 's/^\[ringcx\]/&\nlogins-per-minute = 1000/; s/^\[defaults\]/&\nretry.initial = "1s"\nretention.max-live = 100/' $CONFIG

useradd --system --groups ringcx-token ivr
useradd --system stranger

# A login that takes its time shows whether anybody is told READY too soon.
fault '{"call":"login","fault":"slow-1500ms"}'
systemctl enable --quiet --now --no-block $UNIT
early=0 soon=
while :; do
  # In this order: what comes between the two looks is on the safe side.
  state=$(property ActiveState)
  there=$(test -s $TOKEN && echo yes || echo no)
  case "$state $there" in
    "activating no") early=$((early + 1)) ;;
    "active no") soon=yes ;;
    activating*) ;;
    *) break ;;
  esac
  sleep 0.02
done
check "the service becomes active" active
check "it was starting for as long as there was no token" test $early -gt 5
check "it was never ready without one" is "$soon" ""
check "its watchdog is on" is "$(property WatchdogUSec)" 2min
check "the token works" works $TOKEN
check "exactly one token was minted" is "$(mints)" 1
check "it belongs to the readers' group and is moded as asked" is "$(mode $TOKEN)" "ringcx-rotator:ringcx-token 640"
check "a member of the group reads it" as ivr cat $TOKEN
check "another user cannot" fails as stranger cat $TOKEN
check "nor list the directory" fails as stranger ls $TOKENS
check "systemctl status shows how things stand in words" has "$(systemctl status --no-pager $UNIT)" 'Status: "'
note "$(systemctl status --no-pager $UNIT | grep -m 1 Status: | sed 's/^ *//')"
check "status says that the sink serves" is "$(json "$(status)" 'it["accounts"][0]["sinks"][0]["state"]')" serving
check "it runs as its own user" is "$(ps -o user= -p "$(property MainPID)" 2>/dev/null || stat -c %U "/proc/$(property MainPID)")" ringcx-rotator
check "the journal is the daemon's alone" is "$(mode /var/lib/ringcx-rotator)" "ringcx-rotator:ringcx-rotator 700"

token=$(cat $TOKEN)
journalctl --sync
found=$(journalctl ACCOUNT=sales-ivr -o json --no-pager)
check "journalctl finds the account's events by field" test -n "$found"
check "each with the identity of its kind" is "$(grep -c '"MESSAGE_ID"' <<<"$found")" "$(grep -c . <<<"$found")"
check "and their generation" has "$found" '"GENERATION":"1"'
check "and the sink" is "$(test -n "$(journalctl SINK=token-file -o json --no-pager)" && echo yes)" yes
check "no token is in the journal of the machine" hasnt "$(journalctl -o export --no-pager | tr -d '\0')" "$token"
check "nor is the password" hasnt "$(journalctl -o export --no-pager | tr -d '\0')" canary-
check "nor is it in a process's arguments" fails grep -lqs canary-first /proc/[0-9]*/cmdline

systemctl stop $UNIT
check "stopped, the token is still there for its readers" is "$(cat $TOKEN)" "$token"
systemctl start $UNIT
check "after a restart of the service it is the same token" is "$(cat $TOKEN) $(mints)" "$token 1"
