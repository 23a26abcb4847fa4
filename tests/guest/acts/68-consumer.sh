# A unit that is restarted when its file, made of a template, has a new token; also when the daemon is killed meanwhile.

FILE=$TOKENS/dialer.conf STARTS=/srv/consumer/starts
RULE=/etc/polkit-1/rules.d/50-ringcx-rotator.rules
mkdir -p /srv/consumer
# What it starts with: the number of the token, whether the file is whole, and what RingCX says to the token.
cat >/usr/local/bin/consumer-starts <<END
#!/bin/bash
generation=none whole=torn token=
. $FILE
says=\$(curl -s -o /dev/null -w '%{http_code}' -H "X-Auth-Token: \$token" $RINGCX/voice/api/v1/admin/accounts)
echo "\$generation \$whole \$says" >>$STARTS
# Where an act asks for it, the daemon ends before it knows that its consumer was told.
if rm /srv/consumer/kill-it 2>/dev/null; then systemctl kill --kill-whom=main --signal=KILL $UNIT; fi
END
chmod 0755 /usr/local/bin/consumer-starts
cat >/etc/systemd/system/consumer.service <<'END'
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPre=/usr/local/bin/consumer-starts
ExecStart=/usr/bin/sleep infinity
ExecReload=/usr/bin/true
END
# Another that runs, and that nobody is told of.
cat >/etc/systemd/system/bystander.service <<'END'
[Service]
ExecStart=/usr/bin/sleep infinity
END
systemctl daemon-reload
systemctl start bystander

cp $CONFIG /root/config.right
cat >>$CONFIG <<'END'

[[account.sink]]
name = "dialer"
type = "template"
inline = "token={{ token|shell }}\ngeneration={{ generation }}\nwhole=whole\n"
path = "/run/ringcx-rotator/tokens/dialer.conf"
mode = "0640"
notify = { unit = "consumer.service", action = "try-restart" }
END
starts() { wc -l <$STARTS; }
started() { [[ $(starts) -ge $1 ]]; }
# Exactly so often, and no more a while later.
settled() { await 15 started "$1" && sleep 1.5 && is "$(starts)" "$1"; }
generation() { sed -n 's/^generation=//p' $FILE; }
newest() { is "$(tail -n 1 $STARTS)" "$(generation) whole 200"; }
manage() { as ringcx-rotator systemctl --no-ask-password "$@"; }

check "the drop-in says what no unit can grant" has "$(ringcx-rotator systemd-dropin 2>&1)" "ringcx-rotator systemd-dropin --polkit --write"
check "as packaged the service may do nothing to a unit" fails manage try-restart consumer.service
systemctl reload $UNIT
await 10 test -s $FILE >/dev/null
check "the consumer starts" systemctl start consumer
check "with a whole file and a token that works" newest
refused() { has "$(ringcx-rotator status sales-ivr)" "run \`ringcx-rotator systemd-dropin --polkit --write\`"; }
check "where polkit refuses, the error says what to do" await 10 refused
check "the sink itself serves" is "$(json "$(status)" '[it["state"] for it in it["accounts"][0]["sinks"] if it["name"] == "dialer"][0]')" serving
check "the consumer was not restarted" is "$(starts)" 1

check "the rule for the policy is written" ringcx-rotator systemd-dropin --polkit --write
check "it names the one unit with the one thing that is done to it" grep -qF '"consumer.service": ["try-restart"],' $RULE
check "the drop-in has nothing more to note on it" is "$(ringcx-rotator systemd-dropin 2>&1 >/dev/null | grep polkit)" ""
check "then what was owed is done: it is restarted once" settled 2
for refusal in "restart consumer.service" "stop consumer.service" "try-restart bystander.service" daemon-reload; do
  # shellcheck disable=SC2086  # words
  check "refused as before: $refusal" fails manage $refusal
done

count=$(starts)
for turn in 1 2 3; do
  ringcx-rotator rotate sales-ivr >/dev/null
  check "rotation $turn: the consumer is restarted exactly once" settled $((count + turn))
  check "rotation $turn: it has the new token" newest
done

# A crash of the daemon is over at once, and as many as an act likes.
dropin crashes <<'END'
[Unit]
StartLimitIntervalSec=0
[Service]
RestartSec=100ms
RestartSteps=0
END
systemctl restart $UNIT
daemon() { property MainPID; }
# The one that $pid was; never 0, which would be this act.
kill_daemon() { ((pid > 1)) && kill -KILL "$pid"; }
back() { [[ $(daemon) != 0 && $(daemon) != "$pid" && $(property ActiveState) == active ]]; }
# Ends it at the moment when the file is another one. The token in it is still to be tried out before anybody is told.
kill_after_write() {
  local old
  old=$(generation) pid=$(daemon)
  fault '{"call":"list","fault":"slow-500ms","times":"always"}'
  ringcx-rotator rotate --no-wait sales-ivr >/dev/null
  for _ in {1..3000}; do
    [[ -n $(generation) && $(generation) != "$old" ]] && break
    sleep 0.005
  done
  kill_daemon
  no_faults
}
for turn in 1 2 3; do
  count=$(starts)
  kill_after_write
  check "killed between write and notify, $turn: nobody was told yet" is "$(starts)" "$count"
  check "killed between write and notify, $turn: the daemon is back" await 20 back
  check "killed between write and notify, $turn: the consumer is restarted exactly once" settled $((count + 1))
  check "killed between write and notify, $turn: it has the new token" newest
done

count=$(starts) pid=$(daemon)
touch /srv/consumer/kill-it
ringcx-rotator rotate --no-wait sales-ivr >/dev/null
check "killed after notify and before its record: the daemon is back" await 20 back
check "it is told once more rather than not at all" settled $((count + 2))
check "with the same token" is "$(tail -n 2 $STARTS | uniq | wc -l)" 1
check "which is the newest" newest

for turn in 1 2 3 4 5 6; do
  pid=$(daemon)
  ringcx-rotator rotate --no-wait sales-ivr >/dev/null
  sleep "0.$((turn * 7 % 10))"
  kill_daemon
  await 20 back >/dev/null
done
told() { json "$(status)" '[it["notified"] for it in it["accounts"][0]["sinks"] if it["name"] == "dialer"][0]'; }
check "after kills at any moment the consumer has the newest token" await 20 newest
check "and the daemon knows it" is "$(told)" True
note "$(starts) starts, the last with generation $(generation)"
check "it never started with a torn file, or a token that does not work" fails grep -v ' whole 200$' $STARTS
check "nor with an older one than before" sort -nc $STARTS
check "the bystander was left alone" is "$(property NRestarts bystander) $(property ActiveState bystander)" "0 active"

# The rule for every action there is, as systemd and polkit have it.
for action in try-reload-or-restart reload-or-restart try-restart restart reload start; do
  sed "s/action = \"try-restart\"/action = \"$action\"/" $CONFIG >/etc/ringcx-rotator/other.toml
  ringcx-rotator --config /etc/ringcx-rotator/other.toml systemd-dropin --polkit --write >/dev/null
  check "the rule lets it $action" await 5 manage "$action" consumer.service
done
check "and no longer try-restart" fails manage try-restart consumer.service
rm /etc/ringcx-rotator/other.toml
undrop crashes
cp /root/config.right $CONFIG
systemctl disable --quiet --now consumer bystander 2>/dev/null
check "back to a policy without a consumer" systemctl restart $UNIT
