#!/usr/bin/env bash
# Makes the packages: a .deb and an .rpm of this checkout. Prints their paths, last.
#
#   packaging/build.sh
#   packaging/build.sh --missing    says only what it would fail for, if for anything
#   packaging/build.sh --program    compiles only what is to be packed, which needs Rust alone; prints its path, last
#
# Reads:  SOURCE_DATE_EPOCH  the time that is written into them (default: of the last commit)
#         VERSION            their version (default: that of Cargo.toml)
#         MAINTAINER         who answers for them, as "Name <address>" (default: nobody that can be reached)
#         OUT                where they go (default: `packages` in cargo's target directory)
#         BINARY             what to pack (default: built here, by the release profile)
# Needs what Rust needs, and dpkg-dev, rpm and gzip; as root on Debian it installs those. The cargo tools are built
# once and kept, by packaging/tools.sh. What is compiled stays in cargo's target directory, so that only the first time
# takes minutes.
#
# The same checkout, compiler and date give the same bytes, in whichever directory: packaging/reproduce.sh shows it.
set -euo pipefail
cd "$(dirname "$0")/.."
# Modes and messages do not depend on who builds.
umask 022
export LC_ALL=C.UTF-8 TZ=UTC

cache="${XDG_CACHE_HOME:-$HOME/.cache}/ringcx-rotator"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
CARGO_TARGET_DIR=$(mkdir -p "$CARGO_TARGET_DIR" && cd "$CARGO_TARGET_DIR" && pwd)/package
out="${OUT:-$CARGO_TARGET_DIR/packages}"
tools=(cargo-about cargo-deb cargo-generate-rpm)
version="${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}"
maintainer="${MAINTAINER:-ringcx-rotator maintainers <maintainers@ringcx-rotator.invalid>}"
# Whole days where there is no repository to ask: an unpacked archive keeps the times of its files.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

# Makes the program, and says where it is.
program() {
  # No path of this machine in it: panics would tell them, and no two builds be alike. Those of this checkout are
  # relative anyhow; named here, they would have cargo compile everything again in another directory. Encoded, as a
  # path may have blanks. No date is in it either, and cargo would compile the C parts again for each.
  env -u SOURCE_DATE_EPOCH CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=registry" \
    cargo build --release --locked >&2 || return
  echo "$CARGO_TARGET_DIR/release/ringcx-rotator"
}
if [[ ${1-} == --program ]]; then
  program
  exit
fi

# The texts of the licences of all that is in the program, and who uses each. To find them takes minutes, so they are kept
# for as long as nothing changes on which they depend.
licence_texts() {
  local kept
  kept=$CARGO_TARGET_DIR/licences/$(cat Cargo.lock packaging/{about.toml,about.hbs,tools.sh} | sha256sum | cut -c 1-64)
  if [[ ! -s $kept ]]; then
    echo "collecting the licence texts of all crates: some minutes" >&2
    mkdir -p "${kept%/*}"
    # Without the network: a text that a crate lacks would come from its repository as it is today.
    cargo-about generate --frozen --fail --config packaging/about.toml --target "$(cargo -vV | sed -n 's/^host: //p')" \
      packaging/about.hbs >"$kept.new" || return
    mv "$kept.new" "$kept"
  fi
  cat "$kept"
}

# Whose work is in the program, with those texts. Fails if a crate has none.
third_party() {
  local crates texts crate
  crates=$(cargo tree --locked --package ringcx-rotator --edges normal,no-proc-macro --prefix none --format '{p} {l}' \
    | sed -E 's/ \(\*\)$//; s| \(/[^)]*\)||; s/^([^ ]+) v/\1 /' | grep -v '^ringcx-rotator[ -]' | sort -u)
  texts=$(licence_texts)
  while read -r crate; do
    grep -qxF -- "- $crate" <<<"$texts" || { echo "cargo-about has no licence text for $crate" >&2; return 1; }
  done < <(cut -d ' ' -f 1,2 <<<"$crates")
  echo "ringcx-rotator contains the work of others: SQLite, which is in the public domain, and the crates in this list."
  printf '\n%s\n\nThe texts of their licences:\n\n%s\n' "$crates" "$texts"
}

# What is not there and cannot be installed, in words.
missing() {
  local tool missing=()
  for tool in dpkg-shlibdeps:dpkg-dev rpm:rpm gzip:gzip; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
  done
  if ((${#missing[@]})); then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
      echo "there is no ${missing[*]}; on Debian or Ubuntu: apt-get install ${missing[*]}"
      return
    fi
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}"; } \
      </dev/null >/dev/null 2>&1; then
      echo "apt-get cannot install ${missing[*]}"
      return
    fi
  fi
  # For every system: cargo-about looks at all crates before it leaves out those of others.
  cargo fetch --locked --quiet 2>/dev/null || { echo "cargo cannot fetch all crates: is there a network?"; return; }
  packaging/tools.sh "${tools[@]}" >/dev/null || echo "cargo cannot build ${tools[*]}: is there a network?"
}
missing=$(missing)
if [[ ${1-} == --missing ]]; then
  echo "$missing"
  exit
fi
[[ -z $missing ]] || { echo "$missing" >&2; exit 1; }

PATH="$(packaging/tools.sh "${tools[@]}"):$PATH"
if [[ -z ${BINARY-} ]]; then BINARY=$(program); fi

# What Cargo.toml calls target/release/tree/KIND is put here by install.sh, and by nothing else.
trees=$CARGO_TARGET_DIR/release/tree
rm -rf "$trees"
mkdir -p "$trees" "$out"
DESTDIR=$trees/deb ZSH=share/zsh/vendor-completions BINARY=$BINARY packaging/install.sh >/dev/null
DESTDIR=$trees/rpm BINARY=$BINARY packaging/install.sh >/dev/null
gzip -9n "$trees"/{deb,rpm}/usr/share/man/man1/*.1
documents=usr/share/doc/ringcx-rotator
third_party >"$trees/deb/$documents/third-party.txt"
cp "$trees"/{deb,rpm}/"$documents/third-party.txt"
# Where each system looks for licence and changes.
rm "$trees/deb/$documents/LICENSE"
mv "$trees/deb/$documents/CHANGELOG.md" "$trees/deb/$documents/changelog"
install -D -m 0644 packaging/debian/lintian-overrides "$trees/deb/usr/share/lintian/overrides/ringcx-rotator"
install -d "$trees/rpm/usr/share/licenses/ringcx-rotator"
mv "$trees/rpm/$documents/LICENSE" "$trees/rpm/usr/share/licenses/ringcx-rotator/"
cat >"$trees/deb/$documents/changelog.Debian" <<END
ringcx-rotator ($version-1) unstable; urgency=medium

  * Version $version. What changed is told in changelog.gz.

 -- $maintainer  $(date -R -d "@$SOURCE_DATE_EPOCH")
END
gzip -9n "$trees/deb/$documents"/changelog{,.Debian}
find "$trees" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

rm -f "$out"/ringcx-rotator?"$version"-1*.{deb,rpm}
cargo-deb --quiet --no-build --no-strip --deb-version "$version-1" --maintainer "$maintainer" --output "$out/" >/dev/null
cargo-generate-rpm --target-dir "$CARGO_TARGET_DIR" --output "$out/" --payload-compress gzip \
  --set-metadata "version = \"$version\"" --set-metadata "vendor = \"${maintainer%% <*}\"" >/dev/null
ls "$out"/ringcx-rotator?"$version"-1*.{deb,rpm}
