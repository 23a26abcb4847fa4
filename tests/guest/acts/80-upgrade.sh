# The next version, removal, purge and a fresh start.

next=$(cat /share/packages/next-version)
dpkg_version() { dpkg-query --show --showformat='${Status} ${Version}' ringcx-rotator; }
listed() { journalctl --list-catalog --no-pager | grep -c ' ringcx-rotator: '; }
history() { ringcx-rotator history --json | wc -l; }

sum=$(sha256sum $CONFIG) token=$(cat $TOKEN) minted=$(mints) events=$(history) started=$(running_since)
echo "# a note of the operator" >>/etc/ringcx-rotator/config.toml.example
check "the next version installs" apt-get install -qq /share/packages/next.deb
check "it is that version" is "$(dpkg_version)" "install ok installed $next-1"
check "the running service was restarted" fails is "$(running_since)" "$started"
check "and is active" active
check "policy kept" is "$(sha256sum $CONFIG)" "$sum"
check "what the operator wrote into the example kept" grep -q "a note of the operator" /etc/ringcx-rotator/config.toml.example
check "journal kept" test "$(history)" -ge "$events"
check "token kept, none minted" is "$(cat $TOKEN) $(mints)" "$token $minted"

systemctl stop $UNIT
check "a version installs over a stopped service" apt-get install -qq --allow-downgrades /share/packages/now.deb
check "and does not start it" is "$(property ActiveState)" inactive
check "which is still enabled" is "$(systemctl is-enabled $UNIT)" enabled
systemctl start $UNIT

if (($(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p') >= 254)); then
  rm /usr/lib/systemd/system/$UNIT.d/10-restart-steps.conf
  dpkg-trigger --by-package=systemd /usr/lib/systemd/systemd
  dpkg --configure --pending
  check "when systemd is replaced, the growing delays are looked into again" is "$(property RestartSteps)" 8
fi

check "the package is removed" apt-get remove -qq ringcx-rotator
check "the service is gone" fails systemctl is-active $UNIT
check "its catalog, too" is "$(listed)" 0
check "no drop-in of the package is left" fails test -e /usr/lib/systemd/system/$UNIT.d
check "policy, password, journal, polkit rule and token are still there" ls /etc/polkit-1/rules.d/50-ringcx-rotator.rules $CONFIG /etc/ringcx-rotator/credentials/sales-ivr /var/lib/ringcx-rotator/journal.sqlite $TOKEN
check "and the token works" works $TOKEN

check "installed anew" apt-get install -qq /share/packages/now.deb
check "the catalog is back" test "$(listed)" -gt 50
check "the service is enabled as it was" is "$(systemctl is-enabled $UNIT)" enabled
check "it starts" systemctl start $UNIT
check "with the same token and no mint" is "$(cat $TOKEN) $(mints)" "$token $minted"

check "the package is purged" apt-get purge -qq ringcx-rotator
for place in /etc/ringcx-rotator /var/lib/ringcx-rotator /run/ringcx-rotator /etc/systemd/system/$UNIT.d \
  /etc/systemd/system/multi-user.target.wants/$UNIT /etc/polkit-1/rules.d/50-ringcx-rotator.rules; do
  check "purged: $place is gone" fails ls -d $place
done
check "nothing is failed after that" is "$(systemctl --failed --no-legend)" ""
check "installed after a purge it is as new" apt-get install -qq /share/packages/now.deb
check "neither enabled nor failed" is "$(systemctl is-enabled $UNIT) $(property ActiveState)" "disabled inactive"
apt-get purge -qq ringcx-rotator >/dev/null
