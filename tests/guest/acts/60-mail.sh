# An alert goes through a real mail server, which wants TLS and a password, to a mailbox.

# An authority of our own, and the server's certificate by it.
mkdir -p /root/ca && cd /root/ca || exit 1
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=Our own" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout mta.key -out mta.csr -subj "/CN=localhost" 2>/dev/null
openssl x509 -req -in mta.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out mta.pem -days 2 \
  -extfile <(echo "subjectAltName=DNS:localhost") 2>/dev/null
cd /
install -m 0644 /root/ca/ca.pem /etc/ssl/our-own.pem
install -m 0400 /root/ca/mta.pem /root/ca/mta.key /etc/postfix/
for name in oncall second; do useradd --no-create-home --shell /usr/sbin/nologin "$name"; done
cat >/etc/postfix/main.cf <<'END'
compatibility_level = 3.6
myhostname = mail.example.com
mydestination = example.com
mynetworks =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
mailbox_command =
mail_spool_directory = /var/mail
biff = no
maillog_file = /var/log/postfix.log
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = /etc/postfix/mta.pem
smtpd_tls_key_file = /etc/postfix/mta.key
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = localhost
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_recipient_restrictions = check_recipient_access texthash:/etc/postfix/recipients, permit
END
: >/etc/postfix/recipients
mkdir -p /etc/postfix/sasl
printf '%s\n' 'pwcheck_method: auxprop' 'auxprop_plugin: sasldb' 'mech_list: PLAIN LOGIN' >/etc/postfix/sasl/smtpd.conf
echo canary-mail | saslpasswd2 -p -c -u localhost mailer
chown root:postfix /etc/sasldb2 && chmod 0640 /etc/sasldb2
postconf -MX smtp/inet
# Without a chroot, which would need the passwords in it.
postconf -M submission/inet='submission inet n - n - - smtpd'
box=/var/mail/oncall
mails() { grep -c '^Subject: ' $box 2>/dev/null || true; }
subjects() { grep '^Subject: ' $box | sed 's/^Subject: //'; }
arrived() { [[ $(mails) -ge $1 ]]; }

install -m 0600 /dev/null /etc/ringcx-rotator/credentials/smtp
echo canary-mail >/etc/ringcx-rotator/credentials/smtp
cp $CONFIG /root/config.right
cat >>$CONFIG <<'END'

[alerts.email]
from = "ringcx-rotator@example.com"
to = ["oncall@example.com"]
host = "localhost"
port = 587
tls = "starttls"
username = "mailer"
password = { credential = "smtp" }
ca-file = "/etc/ssl/our-own.pem"
END
# At any pass and not only in a quarter of an hour.
sed -i 's/^retry.initial.*/&\ncheck-every = "2s"/' $CONFIG
policy_dropin
check "the mail server starts" postfix start
check "the service takes its policy with mail" systemctl restart $UNIT
check "test-alert goes through" ringcx-rotator test-alert
check "and arrives" await 10 arrived 1

# A drift is an incident that opens and is over at once.
rm -f $box
drift() { echo spoilt >$TOKEN; systemctl kill --signal=USR1 $UNIT; }
drift
check "an incident arrives in the mailbox" await 20 arrived 1
check "it says what and where" has "$(cat $box)" "sales-ivr"
check "the subject can be filtered on" has "$(subjects)" "[ringcx-rotator] sales-ivr"
check "it came encrypted" has "$(cat $box)" "with ESMTPSA"
check "and by a login" has "$(cat /var/log/postfix.log)" "sasl_username=mailer@localhost"
check "this machine was introduced by a full name or by its address" \
  grep -qE '^Received: from ([a-z0-9-]+(\.[a-z0-9-]+)+|\[[0-9.]+\]) ' $box
check "the token was put back" await 10 works $TOKEN
quiet() { sleep 3; is "$(mails)" "$1"; }
settled=$(mails)
until sleep 3; [[ $(mails) == "$settled" ]]; do settled=$(mails); done
note "$(subjects | head -n 4)"

postfix stop 2>/dev/null
rm -f $box
fault '{"call":"login","fault":"status-500","times":"always"}'
check "a rotation fails while RingCX lets nobody in" fails ringcx-rotator rotate sales-ivr
refused() { test -n "$(json "$(status)" 'it["daemon"].get("mail_error") or ""')"; }
check "with the mail server down, status says that mail cannot be sent" await 30 refused
check "nothing is lost: the service goes on" active
# A restart in between must not send it twice, nor forget it.
systemctl restart --no-block $UNIT
await 60 active >/dev/null
postfix start 2>/dev/null
check "with the mail server back it arrives" await 90 arrived 1
check "once" quiet 1
note "$(subjects)"
check "no password of ours is in a mail" hasnt "$(cat /var/mail/*)" canary-
no_faults
ringcx-rotator rotate sales-ivr >/dev/null 2>&1
settled=$(mails)
until sleep 3; [[ $(mails) == "$settled" ]]; do settled=$(mails); done

# A server that wants the second recipient to be asked for again later, and takes its time.
second=/var/mail/second
rm -f $box $second
sed -i 's/^to = .*/to = ["oncall@example.com", "second@example.com", "gone@example.com"]/' $CONFIG
cat >/etc/postfix/recipients <<'END'
second@example.com 450 4.2.0 greylisted, come back later
gone@example.com 550 5.1.1 nobody of that name
END
postconf 'smtpd_end_of_data_restrictions = sleep 25'
postfix reload 2>/dev/null
check "the service takes two more recipients" systemctl reload $UNIT
drift
check "the mail waits for nobody but who is greylisted" await 60 arrived 1
waits() { has "$(json "$(status)" 'it["daemon"]["mail_error"]')" "second@example.com: 450"; }
check "which status says" await 60 waits
: >/etc/postfix/recipients
postconf -X smtpd_end_of_data_restrictions
postfix reload 2>/dev/null
second_has() { [[ $(grep -c '^Subject: ' $second 2>/dev/null) -ge 1 ]]; }
check "who was greylisted has it in the end" await 60 second_has
refused_for_good() { has "$(json "$(status)" 'it["daemon"]["mail_refused"]')" "gone@example.com: 550"; }
check "a recipient that is gone is named" await 60 refused_for_good
twice() { sort | uniq -d; }
check "nobody has a mail twice" is "$(for it in $box $second; do grep -i '^Message-ID: ' $it | twice; done)" ""
cp /root/config.right $CONFIG
policy_dropin
check "back to a policy without mail" systemctl restart $UNIT
postfix stop 2>/dev/null
