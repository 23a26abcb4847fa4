# Gone for good, not replaced by a newer one.
if [ "$1" -eq 0 ]; then
  if [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now ringcx-rotator.service >/dev/null 2>&1 || :
  else
    systemctl --no-reload disable ringcx-rotator.service >/dev/null 2>&1 || :
  fi
  /usr/libexec/ringcx-rotator/restart-steps --remove || :
fi
