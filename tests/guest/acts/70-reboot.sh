# The machine was shut down and booted again; what is in /run is gone.

check "the service is active again" await 30 active
check "what was in /run was really gone" fails grep -q . /run/before-the-reboot
check "a token is served again, and works" works $TOKEN
check "the same as before" is "$(sha256sum <$TOKEN)" "$(cat /root/token.sum)"
check "owned and moded as before" is "$(mode $TOKEN)" "ringcx-rotator:ringcx-token 640"
check "it was there at the moment when the service was ready" is "$(cat /root/witnessed)" "$(cat $TOKEN)active"
check "nothing was minted for it" is "$(mints)" "$(cat /root/mints)"
check "the members of the group read it" as ivr cat $TOKEN
check "history knows of the time before" has "$(ringcx-rotator history sales-ivr)" promoted
check "and is as it was written" ringcx-rotator history --verify
