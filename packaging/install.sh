#!/usr/bin/env bash
# Installs ringcx-rotator from this checkout: binary, unit, user, policy, man pages, completions, licence.
#
#   cargo build --release && sudo packaging/install.sh
#
# Reads:  DESTDIR  a root other than /, for making packages (default: none)
#         PREFIX   where programs go (default: /usr)
#         BINARY   what to install (default: target/release/ringcx-rotator)
# Knows nothing of packages, starts nothing, and never overwrites a policy.
#
#   packaging/install.sh --check    sees whether every file that is installed is there; needs no binary
set -euo pipefail
cd "$(dirname "$0")/.."

sources=(config/ringcx-rotator.toml config/examples LICENSE README.md systemd/ringcx-rotator.{service,sysusers,tmpfiles})
for source in "${sources[@]}"; do
  [[ -e $source ]] || { echo "missing: $source" >&2; exit 1; }
done
case "${1-}" in
  --check) echo "${#sources[@]} sources, all there"; exit 0 ;;
  "") ;;
  *) echo "usage: [DESTDIR=…] [PREFIX=…] [BINARY=…] packaging/install.sh [--check]" >&2; exit 2 ;;
esac

root="${DESTDIR-}"
prefix="${PREFIX:-/usr}"
binary="${BINARY:-${CARGO_TARGET_DIR:-target}/release/ringcx-rotator}"
if [[ ! -x $binary ]]; then
  echo "There is no $binary: run \`cargo build --release\` first, or say where it is with BINARY=" >&2
  exit 1
fi

program="$root$prefix/bin/ringcx-rotator"
install -D -m 0755 "$binary" "$program"

install -D -m 0644 systemd/ringcx-rotator.sysusers "$root$prefix/lib/sysusers.d/ringcx-rotator.conf"
install -D -m 0644 systemd/ringcx-rotator.tmpfiles "$root$prefix/lib/tmpfiles.d/ringcx-rotator.conf"
install -d "$root$prefix/lib/systemd/system"
sed "s|/usr/bin/|$prefix/bin/|" systemd/ringcx-rotator.service \
  | install -m 0644 /dev/stdin "$root$prefix/lib/systemd/system/ringcx-rotator.service"

policy="$root/etc/ringcx-rotator/config.toml"
if [[ -e $policy ]]; then
  echo "kept: $policy"
else
  install -D -m 0640 config/ringcx-rotator.toml "$policy"
fi
examples="$root$prefix/share/doc/ringcx-rotator"
install -d "$examples/examples/accounts.d"
install -m 0644 config/examples/*.toml "$examples/examples/"
install -m 0644 config/examples/accounts.d/*.toml "$examples/examples/accounts.d/"
install -m 0644 config/ringcx-rotator.toml README.md LICENSE "$examples/"

install -d "$root$prefix/share/man/man1"
"$binary" man --dir "$root$prefix/share/man/man1"
completions() {
  install -d "$(dirname "$2")"
  "$binary" completions "$1" | install -m 0644 /dev/stdin "$2"
}
completions bash "$root$prefix/share/bash-completion/completions/ringcx-rotator"
completions zsh "$root$prefix/share/zsh/site-functions/_ringcx-rotator"
completions fish "$root$prefix/share/fish/vendor_completions.d/ringcx-rotator.fish"

echo "installed: $program"
# Only on a running system: with DESTDIR this is a package's business.
if [[ -z $root ]] && [[ $(id -u) == 0 ]]; then
  if command -v systemd-sysusers >/dev/null; then systemd-sysusers "$prefix/lib/sysusers.d/ringcx-rotator.conf"; fi
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/ringcx-rotator.conf"
  fi
  if [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
fi
