# Written out: %systemd_post and its like are known on rpm systems only, and the package may be built elsewhere.
systemd-sysusers ringcx-rotator.conf || :
systemd-tmpfiles --create ringcx-rotator.conf || :
/usr/libexec/ringcx-rotator/restart-steps || :
# No preset is asked: without a policy there is nothing to enable, and whoever writes one says so.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
fi
