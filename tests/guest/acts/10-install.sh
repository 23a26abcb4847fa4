# The package is installed on a machine that has no policy yet.

check "apt installs the package" apt-get install -qq --no-install-recommends /share/packages/now.deb
check "the version is what the program says" is "$(ringcx-rotator --version)" "ringcx-rotator $(cat /share/packages/version)"

check "without a policy the service is not failed" is "$(property ActiveState) $(property Result)" "inactive success"
check "and not enabled" is "$(systemctl is-enabled $UNIT)" disabled
check "starting it without a policy does nothing" systemctl start $UNIT
check "and that is no failure either" is "$(property ActiveState) $(property ConditionResult)" "inactive no"
check "nothing on the machine is failed" is "$(systemctl --failed --no-legend)" ""

verify() { systemd-analyze verify /usr/lib/systemd/system/$UNIT 2>&1; }
check "systemd-analyze verify is silent" is "$(verify)" ""
exposure=$(systemd-analyze security --no-pager $UNIT | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
note "exposure under systemd $(systemctl --version | sed -n '1s/[^(]*(\(.*\))/\1/p'): $exposure"
check "the exposure is at most 1.5" awk -v it="$exposure" 'BEGIN { exit !(it != "" && it <= 1.5) }'
if (($(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p') >= 254)); then
  check "the delay between restarts grows" is "$(property RestartSteps) $(property RestartMaxDelayUSec)" "8 5min"
else
  check "an older systemd is told no key that it does not know" fails test -e /usr/lib/systemd/system/$UNIT.d
fi

check "the daemon has a user of its own" id ringcx-rotator
check "who is in the group of the readers" has "$(id -nG ringcx-rotator)" ringcx-token
check "the policy's directory is for root and the operators" is "$(mode /etc/ringcx-rotator)" "root:ringcx-rotator 750"
check "the credentials are root's alone" is "$(mode /etc/ringcx-rotator/credentials)" "root:root 700"
check "the tokens' directory is the readers'" is "$(mode $TOKENS)" "ringcx-rotator:ringcx-token 2750"

# shellcheck disable=SC2016  # it is dpkg-query that fills it in
conffiles=$(dpkg-query --show --showformat='${Conffiles}' ringcx-rotator)
check "the commented policy is the only conffile" is "$(awk 'NF { print $1 }' <<<"$conffiles")" /etc/ringcx-rotator/config.toml.example
check "the commented policy is valid" ringcx-rotator --config /etc/ringcx-rotator/config.toml.example check
for file in share/man/man1/ringcx-rotator.1.gz share/bash-completion/completions/ringcx-rotator share/zsh/vendor-completions/_ringcx-rotator \
  share/fish/vendor_completions.d/ringcx-rotator.fish share/doc/ringcx-rotator/copyright share/doc/ringcx-rotator/changelog.gz; do
  check "there is /usr/$file" test -s /usr/$file
done
examples=/usr/share/doc/ringcx-rotator/examples
for example in $examples/*.toml; do
  check "the example ${example##*/} is valid where it is installed" ringcx-rotator --config "$example" check
done
check "the example of a polkit rule allows nothing" grep -Pzoq 'var allowed = {\n *};' $examples/50-ringcx-rotator.rules
check "and is not where polkit looks" is "$(grep -rl ringcx /etc/polkit-1 /usr/share/polkit-1 2>/dev/null)" ""
check "the completions for bash are bash" bash -n /usr/share/bash-completion/completions/ringcx-rotator
check "man shows the manual page" has "$(man ringcx-rotator 2>&1)" "RingCX"
