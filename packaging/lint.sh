#!/usr/bin/env bash
# Whether the packages that packaging/build.sh made are well-formed in the eyes of lintian and rpmlint. Prints what
# they say; ends with 1 if it is anything but an override with its reason (packaging/debian/lintian-overrides,
# packaging/rpm/rpmlint.toml). As root on Debian it installs both; where they cannot be had it says SKIPPED.
set -euo pipefail
cd "$(dirname "$0")/.."
built="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ringcx-rotator/target}/package/packages"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
deb=("$built"/ringcx-rotator_"$version"-1_*.deb)
rpm=("$built"/ringcx-rotator-"$version"-1.*.rpm)

# The licences of what is in the program go with it.
texts=usr/share/doc/ringcx-rotator/third-party.txt
if ! dpkg-deb --fsys-tarfile "${deb[0]}" | tar --extract --to-stdout "./$texts" | grep -c '^Used by:$' >/dev/null \
  || ! rpm -qpl --nosignature "${rpm[0]}" | grep -cx "/$texts" >/dev/null; then
  echo "a package lacks the licence texts of third parties, $texts" >&2
  exit 1
fi

if ! command -v lintian >/dev/null || ! command -v rpmlint >/dev/null; then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "SKIPPED: there is no lintian or no rpmlint. On Debian or Ubuntu: apt-get install lintian rpmlint"
    exit 0
  fi
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends lintian rpmlint; } \
    </dev/null >/dev/null 2>&1; then
    echo "SKIPPED: apt-get cannot install lintian and rpmlint"
    exit 0
  fi
fi

echo "lintian $(lintian --print-version):"
root=()
if [[ $(id -u) == 0 ]]; then root=(--allow-root); fi
bad=0
lintian=(lintian "${root[@]}" --no-cfg --display-info)
# Overrides that are shown count as failures, so what is printed is not what is judged.
"${lintian[@]}" --show-overrides "${deb[@]}"
"${lintian[@]}" --fail-on error,warning,info "${deb[@]}" >/dev/null || bad=1
rpmlint --version | sed 's/^/rpmlint /; s/$/:/'
rpmlint --strict --config packaging/rpm/rpmlint.toml "${rpm[@]}" || bad=1
exit $bad
