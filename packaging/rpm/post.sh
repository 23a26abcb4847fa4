# Written out: the macros of systemd are known on rpm systems only, and the package may be built elsewhere.
systemd-sysusers ringcx-rotator.conf || :
systemd-tmpfiles --create ringcx-rotator.conf || :
/usr/libexec/ringcx-rotator/restart-steps || :
# What `journalctl -x` explains messages with.
journalctl --update-catalog >/dev/null 2>&1 || :
# No preset is asked: without a policy there is nothing to enable, and whoever writes one says so.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
fi
