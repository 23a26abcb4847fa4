# A policy is changed under the running service.

started=$(running_since)
cp $CONFIG /root/config.right
cursor=$(now)
sed 's/^platform-id/platfrom-id/' /root/config.right >$CONFIG
check "a reload with a wrong policy fails" fails systemctl reload $UNIT
check "and says why" has "$(log --after-cursor="$cursor")" "platfrom-id"
check "and what was meant" has "$(log --after-cursor="$cursor")" 'did you mean `platform-id`'
check "systemctl status tells it, too" has "$(systemctl status --no-pager -n 60 $UNIT)" "platfrom-id"
check "the service goes on" active
check "the token goes on working" works $TOKEN

sed 's/^name = "token-file"/name = "ivr-file"/' /root/config.right >$CONFIG
check "a reload with a right policy succeeds" systemctl reload $UNIT
check "and takes effect" is "$(json "$(status)" 'it["accounts"][0]["sinks"][0]["name"]')" ivr-file
check "without a restart" is "$(running_since)" "$started"
check "and without a mint" is "$(mints)" 1
cp /root/config.right $CONFIG
systemctl reload $UNIT

# What is logged of a rotation from here on.
rotated() { since=$(moment); ringcx-rotator rotate sales-ivr >/dev/null; journalctl --sync; }
said() { journalctl ACCOUNT=sales-ivr --since="$since" --output=cat --no-pager --quiet; }
sed '1i [log]\nlevel = "error"' /root/config.right >$CONFIG
systemctl reload $UNIT
rotated
check "the log's level changes at a reload: a rotation is not logged" is "$(said)" ""
cp /root/config.right $CONFIG
systemctl reload $UNIT
rotated
check "and back: it is logged" test -n "$(said)"
