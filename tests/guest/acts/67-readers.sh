# The readers of docs/reading-the-token.md, as they stand there.

# block HEADING LANGUAGE [N]: the n-th such block below the heading, with RingCX where it is here
block() {
  awk -v heading="## $1" -v open="\`\`\`$2" -v want="${3:-1}" '
    /^## / && !inside { below = ($0 == heading) }
    /^```/ { if (inside) { inside = 0 } else { inside = 1; mine = (below && $0 == open && ++n == want); next } }
    inside && mine' /share/reading-the-token.md | sed "s|https://ringcx.ringcentral.com|$RINGCX|"
}
# unit HEADING N: written where its first line says
unit() {
  local text path
  text=$(block "$1" ini "$2")
  path=$(sed -n '1s/^# //p' <<<"$text")
  install -D -m 0644 /dev/stdin "$path" <<<"$text"
}
accounts=$(curl -s -H "X-Auth-Token: $(cat $TOKEN)" $RINGCX/voice/api/v1/admin/accounts)
rotated() { ringcx-rotator rotate sales-ivr; }

useradd --system dialer
check "the page's way into the group" bash -ec "$(block "Where it is, and who may read it" sh | sed 's/ivr/dialer/; /restart/d')"
check "shell" is "$(as dialer bash -c "$(block "From a shell" sh)")" "$accounts"
check "Python" has "$(as dialer python3 -c "$(block "From Python" python)" 2>&1)" "${accounts:0:20}"
check "Node" has "$(as dialer node --eval "$(block "From Node" js)" 2>&1)" "${accounts:0:20}"
check "Python, as somebody who is not in the group" fails as stranger python3 -c "$(block "From Python" python)"

for n in 1 2; do unit "From nginx" $n; done
block "From nginx" nginx >/etc/nginx/conf.d/ringcx.conf
rm -f /etc/nginx/sites-enabled/default
check "nginx: it takes the page's configuration" nginx -t
systemctl start nginx
check "nginx: the page's commands" bash -ec "$(block "From nginx" sh)"
through() { is "$(curl -sf http://127.0.0.1:8081/voice/api/v1/admin/accounts)" "$accounts"; }
check "nginx: calls through it have the token" await 10 through
check "nginx: the header is for root only" is "$(mode /run/nginx-ringcx/token.conf)" "root:root 600"

cat >/etc/systemd/system/dialer.service <<'END'
[Service]
User=dialer
ExecStart=sh -c 'sha256sum <$CREDENTIALS_DIRECTORY/ringcx-token; sleep infinity'
END
for n in 1 2 3; do unit "From another unit" $n; done
gpasswd --delete dialer ringcx-token >/dev/null
systemctl daemon-reload && systemctl start dialer
read_token() { has "$(journalctl --unit=dialer -o cat --no-pager -n 3)" "$(sha256sum <$TOKEN)"; }
check "another unit: it has the token without being in the group" await 5 read_token
check "another unit: the page's commands" bash -ec "$(block "From another unit" sh)"

old=$(cat $TOKEN)
check "the token is rotated" rotated
check "it is another one" fails is "$(cat $TOKEN)" "$old"
check "another unit: it was restarted and has the new one" await 10 read_token
new_header() { grep -qF "$(cat $TOKEN)" /run/nginx-ringcx/token.conf; }
check "nginx: the new one is in its header" await 10 new_header
check "nginx: and calls through it work" await 10 through
systemctl disable --quiet --now dialer-token.path nginx-ringcx.path nginx-ringcx.service dialer nginx 2>/dev/null
