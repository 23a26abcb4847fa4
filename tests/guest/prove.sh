#!/usr/bin/env bash
# Proves on a booted systemd what the documentation says of the service: installs the package in throwaway Debian
# guests and plays the acts in tests/guest/acts one after the other.
#
#   packaging/build.sh                        # first
#   tests/guest/prove.sh [SUITE…]             # default: bookworm trixie
#   tests/guest/prove.sh --only REGEX [SUITE…]   # some acts only; those before them are what they build on
#
# Needs root on a Debian-like machine, systemd-nspawn and mmdebstrap; apt-get installs what is missing. Where no guest
# can be booted it says SKIPPED and why, and ends with 0. Otherwise 0 if every check passed, else 1. Stays on
# loopback, leaves nothing behind but the guests' roots in ~/.cache/ringcx-rotator/guests.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/guest/boot.sh
. "$here/boot.sh"

# postfix is the mail server, with the passwords of sasl2-bin; python3 and nodejs are readers, nginx is another; polkitd lets units be restarted by those
# whom a rule lets; rpm is for the other package.
PACKAGES=systemd,systemd-sysv,dbus,ca-certificates,man-db,curl,openssl,python3,nodejs,nginx-light,postfix,sasl2-bin,libsasl2-modules,polkitd,rpm
cache="${XDG_CACHE_HOME:-$HOME/.cache}/ringcx-rotator"
built="${CARGO_TARGET_DIR:-$cache/target}/package/packages"

only=.
if [[ ${1-} == --only ]]; then only=$2; shift 2; fi
if [[ ${1-} == --inside ]]; then inside=$2 root=$3 only=$4 packages=$5; else inside=; fi

# play ACT: prints its checks
play() {
  echo "-- $(sed -n '1s/^# *//p' "$here/acts/$1.sh")"
  # None takes half as long; what hangs is not waited for.
  in_guest_unit --property=RuntimeMaxSec=240 bash -c '. /share/lib.sh; . "/share/acts/$1.sh"; exit 0' _ "$1" || echo "FAIL act $1 broke off"
}

# One guest, in namespaces of its own.
prove() {
  local act rebooted=
  trap 'if [[ -n ${simulator-} ]]; then kill "$simulator" 2>/dev/null || true; fi; guest_gone' EXIT
  guest_world "$root"
  cp -r "$here"/{lib.sh,acts} "$packages" "$here/../../docs/reading-the-token.md" "$WORLD/share/"
  # RingCX, as far as the guest is concerned: out of the package, but beside the guest.
  dpkg-deb --fsys-tarfile "$packages/now.deb" | tar -x -C "$WORLD" ./usr/bin/ringcx-rotator
  "$WORLD/usr/bin/ringcx-rotator" simulate --quiet --user demo:canary-first:aws80 --listen 127.0.0.1:8480 >/dev/null &
  simulator=$!
  guest_up
  for act in "$here"/acts/*.sh; do
    act=$(basename "$act" .sh)
    [[ $act =~ $only ]] || continue
    if [[ $act == 7* && -z $rebooted ]]; then
      guest_down
      guest_up
      rebooted=yes
    fi
    play "$act"
  done
}

if [[ -n $inside ]]; then
  prove
  exit
fi

why=$(why_no_guest)
if [[ -n $why ]]; then
  echo "SKIPPED: no guest can be booted here: $why"
  exit 0
fi

# What is proved: the packages of this version, and the same again as the version after it.
work=$(mktemp -d) proofs=()
trap 'kill "${proofs[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
log=$work/log packages=$work/packages
mkdir "$packages"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -n 1)
next=${version%.*}.$((${version##*.} + 1))
if ! [[ -e $(echo "$built"/ringcx-rotator_"$version"-1_*.deb) ]]; then
  echo "There is no package of $version in $built: run packaging/build.sh first" >&2
  exit 1
fi
echo "$version" >"$packages/version"
echo "$next" >"$packages/next-version"
cp "$built"/ringcx-rotator_"$version"-1_*.deb "$packages/now.deb"
cp "$built"/ringcx-rotator-"$version"-1.*.rpm "$packages/now.rpm"
VERSION=$next OUT=$work/next BINARY=$built/../release/ringcx-rotator "$here/../../packaging/build.sh" >/dev/null
mv "$work"/next/*.deb "$packages/next.deb"
mv "$work"/next/*.rpm "$packages/next.rpm"
suites=("$@")
((${#suites[@]})) || suites=(bookworm trixie)
suite() {
  local root began
  if ! root=$(guest_root "$1" "$PACKAGES"); then
    echo "SKIPPED: the root of $1 cannot be made: is there a Debian mirror?"
    return
  fi
  printf '\n== %s, %s  (after %d s)\n' "$1" "$(cat "$root/etc/debian_version")" "$SECONDS"
  began=$SECONDS
  unshare --mount --net --propagation private "${BASH_SOURCE[0]}" --inside "$1" "$root" "$only" "$packages" </dev/null &
  # Cut off, it takes its guest down.
  trap 'kill $!' TERM
  wait $! || echo "FAIL the proof on $1 came to its end"
  echo "$1 took $((SECONDS - began)) s"
}
# Side by side, as most of a proof is waiting; told one after the other.
for suite in "${suites[@]}"; do
  suite "$suite" >"$work/$suite" 2>&1 &
  proofs+=($!)
done
for at in "${!suites[@]}"; do
  wait "${proofs[$at]}" || echo "FAIL the proof on ${suites[$at]} could not go on" >>"$work/${suites[$at]}"
  tee -a "$log" <"$work/${suites[$at]}"
done

count() { grep -c "^$1 " "$log" || true; }
printf '\n%d passed, %d failed, %d skipped, in %d s\n' "$(count PASS)" "$(count FAIL)" "$(count SKIP)" "$SECONDS"
(($(count FAIL) == 0 && $(count PASS) > 0)) || { (($(count FAIL) == 0)) && grep -q '^SKIPPED' "$log"; }
