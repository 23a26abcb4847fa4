# Passwords by systemd's credentials, changed while the service runs.

kept=/etc/ringcx-rotator/credentials/sales-ivr
rm -f $kept.cred
install -m 0600 /root/password $kept
policy_dropin
systemctl restart $UNIT
started=$(running_since)
seen="/run/credentials/$UNIT"
before=$(stat -c '%u:%g %a' "$seen/sales-ivr")

check "the password came by LoadCredential" is "$(cat "$seen/sales-ivr")" canary-first
password canary-second
echo canary-second >$kept
check "a reload takes up a changed password" systemctl reload $UNIT
check "owner and mode of the copy are as before" is "$(stat -c '%u:%g %a' "$seen/sales-ivr")" "$before"
check "nobody but the daemon and root reads it" fails as ivr cat "$seen/sales-ivr"
check "the daemon itself cannot write there" has "$(grep " $seen " "/proc/$(property MainPID)/mountinfo" | cut -d' ' -f6)" ro
check "it logs in with it, without a restart" ringcx-rotator rotate sales-ivr
check "really without" is "$(running_since)" "$started"

mv $kept /root/gone
check "a credential that is gone makes the reload fail" fails systemctl reload $UNIT
check "and the log says so" await 5 has "$(log -n 20)" "could not be read again"
check "the service goes on with what it has" active
mv /root/gone $kept
check "with it back the reload succeeds" systemctl reload $UNIT

# Encrypted ones need a key, which a guest without TPM keeps on its disk.
if ! systemd-creds encrypt --with-key=host --name=sales-ivr $kept /root/sales-ivr.cred 2>/root/why; then
  skip "LoadCredentialEncrypted" "systemd-creds: $(tail -n 1 /root/why)"
else
  mv $kept /root/gone
  mv /root/sales-ivr.cred $kept.cred
  policy_dropin
  check "the drop-in asks for an encrypted one" grep -q "^LoadCredentialEncrypted=sales-ivr:$kept.cred" /etc/systemd/system/$UNIT.d/policy.conf
  check "the service starts with an encrypted credential" systemctl restart $UNIT
  started=$(running_since)
  check "and logs in with it" ringcx-rotator rotate sales-ivr
  password canary-third
  echo canary-third | systemd-creds encrypt --with-key=host --name=sales-ivr - $kept.cred 2>/dev/null
  check "a reload takes up a changed encrypted one" systemctl reload $UNIT
  check "and it logs in with that" ringcx-rotator rotate sales-ivr
  check "without a restart" is "$(running_since)" "$started"
  rm $kept.cred
  mv /root/gone $kept
  policy_dropin
fi
password canary-first
echo canary-first >$kept
check "back to the first one by a restart" systemctl restart $UNIT
