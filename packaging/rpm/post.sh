# Written out: %systemd_post and its like are known on rpm systems only, and the package may be built elsewhere.
systemd-sysusers ringcx-rotator.conf || :
systemd-tmpfiles --create ringcx-rotator.conf || :
/usr/libexec/ringcx-rotator/restart-steps || :
if [ "$1" -eq 1 ]; then
  # What the distribution's presets say; without one that names the service it stays disabled.
  systemctl --no-reload preset ringcx-rotator.service >/dev/null 2>&1 || :
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
fi
