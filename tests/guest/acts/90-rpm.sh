# The other package, on a system whose packages are not its own: what it holds and what its scriptlets do.

now=/share/packages/now.rpm
check "rpm reads it" rpm -qp --nosignature $now
requires=$(rpm -qp --requires $now)
check "it requires systemd" has "$requires" 'systemd >= 247'
check "and authorities to trust" has "$requires" ca-certificates
check "it has scriptlets after install, before and after erase" is \
  "$(rpm -qp --scripts $now | sed -n 's/^\([a-z]*\) scriptlet.*/\1/p' | paste -sd' ')" "postinstall preuninstall postuninstall"
check "each is a shell script without an error" sh -n <(rpm -qp --scripts $now | sed 's/^[a-z]* scriptlet.*//')
check "no scriptlet needs an rpm system's macros" hasnt "$(rpm -qp --scripts $now)" %
check "the commented policy is configuration that is not overwritten" is "$(rpm -qp --configfiles $now)" /etc/ringcx-rotator/config.toml.example
# zsh and licences have places of their own there.
names() { sed -E 's|^\./|/|; s|/zsh/[a-z-]*/|/zsh/|; s|\.gz$||' | grep -E '^/(usr|etc)/.*[^/]$' | grep -Ev '/(lintian|licenses)/|/copyright$|/[cC][hH][aA][nN][gG][eE][lL][oO][gG](\.|$|.md)|changelog.Debian|/doc/.*/LICENSE' | sort; }
check "both packages hold the same files" diff <(rpm -qpl $now | names) <(dpkg-deb --fsys-tarfile /share/packages/now.deb | tar -t | names)

mkdir /srv/scratch
check "it installs into a root of its own, without scriptlets" rpm --root /srv/scratch --install --nodeps --noscripts --nosignature $now
check "which then has the program, whole" cmp /srv/scratch/usr/bin/ringcx-rotator <(dpkg-deb --fsys-tarfile /share/packages/now.deb | tar -xO ./usr/bin/ringcx-rotator)
check "as rpm itself sees it" rpm --root /srv/scratch --verify --nodeps --nouser --nogroup ringcx-rotator

listed() { journalctl --list-catalog --no-pager | grep -c ' ringcx-rotator: '; }
check "it installs" rpm --install --nodeps --nosignature $now
check "without a policy nothing is started and nothing failed" is "$(property ActiveState) $(systemctl is-enabled $UNIT) $(systemctl --failed --no-legend)" "inactive disabled "
check "journalctl has its catalog" test "$(listed)" -gt 50
check "user, groups and directories are there" is "$(mode $TOKENS)" "ringcx-rotator:ringcx-token 2750"
verify() { systemd-analyze verify /usr/lib/systemd/system/$UNIT 2>&1; }
check "systemd-analyze verify is silent" is "$(verify)" ""
install -m 0640 -g ringcx-rotator /root/config.right $CONFIG
install -m 0600 /dev/null /etc/ringcx-rotator/credentials/sales-ivr
echo canary-first >/etc/ringcx-rotator/credentials/sales-ivr
policy_dropin
check "with a policy it starts" systemctl enable --quiet --now $UNIT
started=$(running_since) token=$(cat $TOKEN)
check "the next version installs over it" rpm --upgrade --nodeps --nosignature /share/packages/next.rpm
check "the running service was restarted" fails is "$(running_since)" "$started"
check "with the same token" is "$(cat $TOKEN)" "$token"
check "it is erased" rpm --erase --nodeps ringcx-rotator
check "the service is gone" fails systemctl is-active $UNIT
check "its catalog, too" is "$(listed)" 0
check "policy and journal stay" ls $CONFIG /var/lib/ringcx-rotator/journal.sqlite
check "nothing else does" fails ls -d /usr/libexec/ringcx-rotator /usr/share/ringcx-rotator /usr/lib/systemd/system/$UNIT.d
