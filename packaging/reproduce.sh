#!/usr/bin/env bash
# Whether the packages that packaging/build.sh made are made again, byte for byte: from a copy of this checkout in
# another directory, under another umask, language and time zone, by a user with another home.
#
#   packaging/reproduce.sh            compiles this crate again, on the dependencies as they were compiled before
#   packaging/reproduce.sh --whole    compiles everything again, which takes minutes
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1-}" in
  "" | --whole) ;;
  *) echo "usage: packaging/reproduce.sh [--whole]" >&2; exit 2 ;;
esac

cache="${XDG_CACHE_HOME:-$HOME/.cache}"
target="${CARGO_TARGET_DIR:-$cache/ringcx-rotator/target}"
built=$target/package/packages
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The date that was written into them, whatever was committed since.
epoch=$(rpm -qp --nosignature --queryformat '%{BUILDTIME}' "$built"/ringcx-rotator-"$version"-1.*.rpm)

again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
mkdir -p "$again/a deeper/place" "$again/home"
# All that is not ignored, as it is now.
if git rev-parse --git-dir >/dev/null 2>&1; then
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$again/a deeper/place" 2>/dev/null
else
  cp -r . "$again/a deeper/place"
fi
if [[ ${1-} == --whole ]]; then
  target=$again/target
else
  # Its own copy: the fingerprints of what is compiled here must not make the next build start anew.
  # Times kept: by them cargo knows that the dependencies are as they were.
  cp -a --reflink=auto "$target/package" "$again/package"
  rm -rf "$again"/package/{packages,release/tree,release/ringcx-rotator}
  target=$again
fi
(
  umask 077
  cd "$again/a deeper/place"
  env CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" XDG_CACHE_HOME="$cache" \
    HOME="$again/home" TZ=Asia/Kathmandu LANG=C SOURCE_DATE_EPOCH="$epoch" CARGO_TARGET_DIR="$target" OUT="$again/out" \
    packaging/build.sh >/dev/null
)
same=0
for package in "$built"/ringcx-rotator?"$version"-1*.{deb,rpm}; do
  if cmp "$package" "$again/out/$(basename "$package")"; then
    sha256sum "$package"
    same=$((same + 1))
  fi
done
((same == 2)) || { echo "the packages differ" >&2; exit 1; }
echo "made twice, the same bytes"
