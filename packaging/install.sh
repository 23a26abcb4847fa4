#!/usr/bin/env bash
# Installs ringcx-rotator from this checkout: binary, unit, user, example policy, man pages, completions, licence.
#
#   cargo build --release && sudo packaging/install.sh
#
# Reads:  DESTDIR  a root other than /, for making packages (default: none)
#         PREFIX   where programs go (default: /usr)
#         BINARY   what to install (default: target/release/ringcx-rotator)
#         ZSH      where zsh looks for completions, below PREFIX (default: share/zsh/site-functions)
# What goes where is said here and nowhere else: build.sh makes the packages of what this puts below a DESTDIR.
# Starts nothing, and never touches a policy.
#
#   packaging/install.sh --check    sees whether every file that is installed is there; needs no binary
set -euo pipefail
cd "$(dirname "$0")/.."

sources=(config/ringcx-rotator.toml config/examples LICENSE README.md CHANGELOG.md SECURITY.md docs
  systemd/ringcx-rotator.{service,sysusers,tmpfiles,catalog,rules} systemd/{restart-steps.conf,restart-steps,renew-credentials})
for source in "${sources[@]}"; do
  [[ -e $source ]] || { echo "missing: $source" >&2; exit 1; }
done
case "${1-}" in
  --check) echo "${#sources[@]} sources, all there"; exit 0 ;;
  "") ;;
  *) echo "usage: [DESTDIR=…] [PREFIX=…] [BINARY=…] [ZSH=…] packaging/install.sh [--check]" >&2; exit 2 ;;
esac

root="${DESTDIR-}"
prefix="${PREFIX:-/usr}"
binary="${BINARY:-${CARGO_TARGET_DIR:-target}/release/ringcx-rotator}"
if [[ ! -x $binary ]]; then
  echo "There is no $binary: run \`cargo build --release\` first, or say where it is with BINARY=" >&2
  exit 1
fi
umask 022

# put MODE SOURCE DESTINATION, with PREFIX where the source says /usr
put() {
  install -d "$(dirname "$3")"
  sed "s|/usr/|$prefix/|g" "$2" | install -m "$1" /dev/stdin "$3"
}

program="$root$prefix/bin/ringcx-rotator"
install -D -m 0755 "$binary" "$program"

put 0644 systemd/ringcx-rotator.service "$root$prefix/lib/systemd/system/ringcx-rotator.service"
put 0644 systemd/ringcx-rotator.sysusers "$root$prefix/lib/sysusers.d/ringcx-rotator.conf"
put 0644 systemd/ringcx-rotator.tmpfiles "$root$prefix/lib/tmpfiles.d/ringcx-rotator.conf"
put 0644 systemd/ringcx-rotator.catalog "$root$prefix/lib/systemd/catalog/ringcx-rotator.catalog"
put 0755 systemd/renew-credentials "$root$prefix/libexec/ringcx-rotator/renew-credentials"
put 0755 systemd/restart-steps "$root$prefix/libexec/ringcx-rotator/restart-steps"
put 0644 systemd/restart-steps.conf "$root$prefix/share/ringcx-rotator/restart-steps.conf"
# Beside the place of the policy, not in it: a file that says nothing yet would make a service that fails.
install -D -m 0644 config/ringcx-rotator.toml "$root/etc/ringcx-rotator/config.toml.example"

documents="$root$prefix/share/doc/ringcx-rotator"
(cd config && find examples -type f) | while read -r example; do
  install -D -m 0644 "config/$example" "$documents/$example"
done
# Allows nothing, and is not where polkit looks: `systemd-dropin --polkit` writes the one for a policy.
install -m 0644 systemd/ringcx-rotator.rules "$documents/examples/50-ringcx-rotator.rules"
install -d "$documents/docs"
install -m 0644 docs/*.md "$documents/docs/"
install -m 0644 README.md CHANGELOG.md SECURITY.md LICENSE "$documents/"

install -d "$root$prefix/share/man/man1"
"$binary" man --dir "$root$prefix/share/man/man1"
completions() {
  install -d "$(dirname "$2")"
  "$binary" completions "$1" | install -m 0644 /dev/stdin "$2"
}
completions bash "$root$prefix/share/bash-completion/completions/ringcx-rotator"
completions zsh "$root$prefix/${ZSH:-share/zsh/site-functions}/_ringcx-rotator"
completions fish "$root$prefix/share/fish/vendor_completions.d/ringcx-rotator.fish"

echo "installed: $program"
# Only on a running system: with DESTDIR this is a package's business.
if [[ -z $root ]] && [[ $(id -u) == 0 ]]; then
  if command -v systemd-sysusers >/dev/null; then systemd-sysusers "$prefix/lib/sysusers.d/ringcx-rotator.conf"; fi
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/ringcx-rotator.conf"
  fi
  if command -v journalctl >/dev/null; then journalctl --update-catalog; fi
  "$prefix/libexec/ringcx-rotator/restart-steps"
  if [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
fi
