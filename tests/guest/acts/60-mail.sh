# An alert goes through a real mail server, which wants TLS and a password, to a mailbox.

# An authority of our own, and the server's certificate by it.
mkdir -p /root/ca && cd /root/ca || exit 1
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=Our own" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout mta.key -out mta.csr -subj "/CN=localhost" 2>/dev/null
openssl x509 -req -in mta.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out mta.pem -days 2 \
  -extfile <(echo "subjectAltName=DNS:localhost") 2>/dev/null
cd /
install -m 0644 /root/ca/ca.pem /etc/ssl/our-own.pem
install -o Debian-exim -g Debian-exim -m 0400 /root/ca/mta.pem /etc/exim4/mta.pem
install -o Debian-exim -g Debian-exim -m 0400 /root/ca/mta.key /etc/exim4/mta.key
cat >/etc/exim4/exim4.conf <<'END'
primary_hostname = rotator
domainlist local_domains = example.com
daemon_smtp_ports = 587
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = /etc/exim4/mta.pem
tls_privatekey = /etc/exim4/mta.key
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
acl_smtp_rcpt = only_who_logged_in
qualify_domain = example.com
begin acl
only_who_logged_in:
  accept authenticated = *
  deny message = log in first
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = /var/mail/oncall
  create_file = anywhere
  user = Debian-exim
  group = mail
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if and{{eq{$auth2}{mailer}}{eq{$auth3}{canary-mail}}}}
  server_set_id = $auth2
END
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
check "the mail server starts" systemctl start exim4
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
check "it came encrypted and by a login" has "$(cat /var/log/exim4/mainlog)" "A=plain:mailer"
check "the token was put back" await 10 works $TOKEN
quiet() { sleep 3; is "$(mails)" "$1"; }
settled=$(mails)
until sleep 3; [[ $(mails) == "$settled" ]]; do settled=$(mails); done
note "$(subjects | head -n 4)"

systemctl stop exim4
rm -f $box
fault '{"call":"login","fault":"status-500","times":"always"}'
check "a rotation fails while RingCX lets nobody in" fails ringcx-rotator rotate sales-ivr
refused() { test -n "$(json "$(status)" 'it["daemon"].get("mail_error") or ""')"; }
check "with the mail server down, status says that mail cannot be sent" await 30 refused
check "nothing is lost: the service goes on" active
# A restart in between must not send it twice, nor forget it.
systemctl restart --no-block $UNIT
await 60 active >/dev/null
systemctl start exim4
check "with the mail server back it arrives" await 90 arrived 1
check "once" quiet 1
note "$(subjects)"
check "no password of ours is in a mail" hasnt "$(cat /var/mail/*)" canary-
no_faults
cp /root/config.right $CONFIG
policy_dropin
ringcx-rotator rotate sales-ivr >/dev/null 2>&1
check "back to a policy without mail" systemctl restart $UNIT
systemctl stop exim4
