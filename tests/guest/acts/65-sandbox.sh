# A sink where the sandbox does not let the daemon write, and the drop-in that the policy asks for.

install -d -o ringcx-rotator -g ringcx-token -m 2750 /srv/ivr
cp $CONFIG /root/config.right
cat >>$CONFIG <<'END'

[[account.sink]]
name = "outside"
type = "file"
path = "/srv/ivr/token"
mode = "0640"
END
check "check warns of a sink outside of what the unit may write" has "$(ringcx-rotator check 2>&1)" /srv/ivr
systemctl reload $UNIT
told() { has "$(ringcx-rotator status sales-ivr)" "read-only under ProtectSystem=strict: run \`ringcx-rotator systemd-dropin\`"; }
check "the sink fails, and the error names the drop-in" await 20 told
check "the sink beside it serves" works $TOKEN
check "no token was put there" fails test -e /srv/ivr/token

ringcx-rotator systemd-dropin >/root/dropin.conf
check "the drop-in gives a reason for each line" awk '/^[A-Z]/ { if (last !~ /^#/) { print; bad = 1 } } { last = $0 } END { exit bad }' /root/dropin.conf
check "it names the directory" grep -q "^ReadWritePaths=.*/srv/ivr" /root/dropin.conf
check "and the credential" grep -Eq "^LoadCredential(Encrypted)?=sales-ivr:" /root/dropin.conf
check "and no capability, as no owner asks for one" fails grep -q "^[A-Za-z]*Capabilit" /root/dropin.conf
check "written in place it is the same" policy_dropin
check "really the same" cmp /root/dropin.conf /etc/systemd/system/$UNIT.d/policy.conf
verify() { systemd-analyze verify /usr/lib/systemd/system/$UNIT 2>&1; }
check "systemd-analyze verify is silent about it" is "$(verify)" ""
check "with the drop-in the service starts" systemctl restart $UNIT
check "and the sink works" await 20 works /srv/ivr/token
check "it holds the token that the other has" cmp /srv/ivr/token $TOKEN
exposure=$(systemd-analyze security --no-pager $UNIT | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
note "exposure with the drop-in: $exposure"

cp /root/config.right $CONFIG
policy_dropin
systemctl restart $UNIT
