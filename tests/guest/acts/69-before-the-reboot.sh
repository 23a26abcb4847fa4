# What is to be the same after a reboot.

sha256sum <$TOKEN >/root/token.sum
mints >/root/mints
echo here >/run/before-the-reboot
check "there is a token to be found again" works $TOKEN
check "the service is enabled" is "$(systemctl is-enabled $UNIT)" enabled
