# What is to be the same after a reboot.

sha256sum <$TOKEN >/root/token.sum
mints >/root/mints
echo here >/run/before-the-reboot
check "there is a token to be found again" works $TOKEN
check "the service is enabled" is "$(systemctl is-enabled $UNIT)" enabled
# One who looks as soon as systemd says that the service is ready, and not a moment later.
cat >/etc/systemd/system/witness.service <<END
[Unit]
After=$UNIT
[Service]
Type=oneshot
ExecStart=sh -c 'cat $TOKEN >/root/witnessed; systemctl show -P ActiveState $UNIT >>/root/witnessed'
[Install]
WantedBy=multi-user.target
END
systemctl enable --quiet witness.service
