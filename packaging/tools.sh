#!/usr/bin/env bash
# Builds cargo tools once, which takes minutes, and keeps them in ~/.cache/ringcx-rotator/tools. Prints the directory
# that they are in, last. Fails if cargo cannot build one: it needs a network then.
#
#   packaging/tools.sh NAME…
#
# Which versions they are is decided here and nowhere else.
set -euo pipefail

declare -A versions=(
  [cargo-about]=0.9.3
  [cargo-deb]=3.8.0
  [cargo-deny]=0.20.2
  [cargo-generate-rpm]=0.21.1
)
# Features that the program itself needs.
declare -A features=([cargo-about]=cli)
kept="${XDG_CACHE_HOME:-$HOME/.cache}/ringcx-rotator/tools"

for tool in "$@"; do
  version=${versions[$tool]}
  [[ -x $kept/bin/$tool && $(cat "$kept/$tool.version" 2>/dev/null) == "$version" ]] && continue
  echo "building $tool $version, once: some minutes" >&2
  # Not in the target directory of the project, and without its flags. It is built for speed of building.
  (cd / && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u SOURCE_DATE_EPOCH CARGO_TARGET_DIR="$kept/build" \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --force --root "$kept" --features "${features[$tool]-}" --version "$version" "$tool" >&2)
  echo "$version" >"$kept/$tool.version"
done
rm -rf "$kept/build"
echo "$kept/bin"
