# What the journal of systemd knows of each message: what it is about, how grave it is, and what to do about it.

# The numbers are fixed: they are in people's filters.
reload_failed=41d761ab52864e2a8b9434362e3d689f login_rejected=23afcd9a511442c99fd1b74be5145a67 promoted=4591aac4d34040d2b948df6909819c43
catalog=/usr/lib/systemd/catalog/ringcx-rotator.catalog
listed() { journalctl --list-catalog --no-pager | grep -c ' ringcx-rotator: '; }
check "journalctl has the whole catalog of the package" is "$(listed)" "$(grep -c '^-- ' $catalog)"

explained() { journalctl --sync; journalctl -x --since="$since" --output=short --no-pager "MESSAGE_ID=$1"; }
since=$(moment)
sed 's/^platform-id/platfrom-id/' /root/config.right >$CONFIG
systemctl reload $UNIT 2>/dev/null
cp /root/config.right $CONFIG
check "journalctl -x explains a reload that failed" has "$(explained $reload_failed)" "The policy loaded before stays in force"
check "and what to do" has "$(explained $reload_failed)" "See every fault with its line: \`ringcx-rotator check\`"
check "with its cause" has "$(explained $reload_failed)" "Cause: $CONFIG: 2 errors"
systemctl reload $UNIT

# A daemon that was just started has to log in for it.
systemctl restart $UNIT
since=$(moment)
fault '{"call":"login","fault":"status-401","times":2}'
check "a login is rejected" fails ringcx-rotator rotate sales-ivr
# The password worked before, so it is tried once more, after half a minute.
rejected() { has "$(json "$(status)" '[one["kind"] for account in it["accounts"] for one in account["incidents"]]')" login-rejected; }
check "and once more" await 60 rejected
check "journalctl -x names the account in the explanation" has "$(explained $login_rejected)" "Subject: sales-ivr: login-rejected"
check "and says how to go on" has "$(explained $login_rejected)" "\`ringcx-rotator rotate sales-ivr\`"
no_faults
check "which helps" ringcx-rotator rotate sales-ivr
found=$(journalctl INCIDENT=sales-ivr/login-rejected --since="$since" -o json --no-pager)
check "the incident is found by its key" test -n "$found"
check "and by its priority" has "$(journalctl --since="$since" -p err -o json --no-pager)" "\"MESSAGE_ID\":\"$login_rejected\""
of() { journalctl --since="$since" "MESSAGE_ID=$promoted" --output=cat --no-pager --quiet "$@"; }
check "that a token is current is told" test -n "$(of -p info)"
check "and is no warning" is "$(of -p warning)" ""

# From fields to JSON on a line, and back.
rotated() { since=$(moment); ringcx-rotator rotate sales-ivr >/dev/null; journalctl --sync; }
lines() { journalctl --sync; journalctl --unit=$UNIT --since="$since" --output=cat --no-pager --quiet; }
fields() { journalctl ACCOUNT=sales-ivr --since="$since" --output=cat --no-pager --quiet; }
sed '1i [log]\nformat = "json"' /root/config.right >$CONFIG
systemctl reload $UNIT
rotated
check "the log's format changes at a reload: lines are JSON" json "$(lines | grep -m 1 promoted || lines | tail -n 1)" 'it["account"]'
check "and no fields" is "$(fields)" ""
cp /root/config.right $CONFIG
systemctl reload $UNIT
rotated
check "and back: fields" test -n "$(fields)"
check "and no JSON" hasnt "$(lines)" '{"'
