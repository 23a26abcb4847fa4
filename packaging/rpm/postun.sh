# Policy, credentials and journal stay in any case: an rpm knows no purge.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  if [ "$1" -ge 1 ]; then
    systemctl try-restart ringcx-rotator.service >/dev/null 2>&1 || :
  fi
fi
journalctl --update-catalog >/dev/null 2>&1 || :
if [ "$1" -eq 0 ]; then
  rmdir /usr/libexec/ringcx-rotator /usr/share/ringcx-rotator 2>/dev/null || :
fi
