# The daemon hangs, is killed, and is started with a policy that is wrong.

token=$(cat $TOKEN) minted=$(mints)
restarted() { [[ $(property MainPID) != "$pid" && $(property ActiveState) == active ]]; }

dropin watchdog <<'END'
[Service]
WatchdogSec=2s
RestartSec=500ms
END
systemctl restart $UNIT
pid=$(property MainPID) before=$(property NRestarts) cursor=$(now)
kill -STOP "$pid"
check "a daemon that hangs is ended by the watchdog and started again" await 20 restarted
check "systemd says that it was the watchdog" has "$(log --after-cursor="$cursor")" "Watchdog timeout"
check "it counts as one restart" is "$(property NRestarts)" $((before + 1))
check "no token was lost, none was minted" is "$(cat $TOKEN) $(mints)" "$token $minted"
undrop watchdog
systemctl restart $UNIT

pid=$(property MainPID) started=$SECONDS
kill -KILL "$pid"
check "a daemon that was killed is started again" await 15 restarted
check "within its delay of five seconds" test $((SECONDS - started)) -le 8
check "and again no token was lost, none was minted" is "$(cat $TOKEN) $(mints)" "$token $minted"

cp $CONFIG /root/config.right
sed 's/^platform-id/platfrom-id/' /root/config.right >$CONFIG
cursor=$(now)
check "a start with a wrong policy fails" fails systemctl restart $UNIT
failed() { is "$(property ActiveState) $(property Result) $(property ExecMainStatus)" "failed exit-code 78"; }
check "with exit code 78" failed
check "and says why" has "$(log --after-cursor="$cursor")" "platfrom-id"
# Longer than the delay of a restart would be.
sleep 7
check "it is not started again" failed
check "not once" is "$(property NRestarts)" 0
check "the token is still there" works $TOKEN
cp /root/config.right $CONFIG
check "with the policy mended it starts" systemctl restart $UNIT
