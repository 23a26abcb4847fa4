# Throwaway Debian guests with a real systemd as PID 1. Sourced by prove.sh; every function speaks of one guest.
#
# A guest is systemd-nspawn over an overlay: the root below is made once by mmdebstrap and never written to, what
# the guest writes lands in memory and outlives its reboots, until the proof ends. It has no network but a
# loopback that it shares with the proof, so that a RingCX stand-in beside it lives through its reboots.
#
# Knows nothing of ringcx-rotator.

# What has to be there on this machine, as command:package.
TOOLS=(systemd-nspawn:systemd-container mmdebstrap:mmdebstrap ip:iproute2 nsenter:util-linux pgrep:procps curl:curl)

# Says why no guest can be booted here, or nothing if one can. Installs what is missing.
why_no_guest() {
  local tool missing=()
  [[ $(id -u) == 0 ]] || { echo "needs root, this is $(id -un)"; return; }
  for tool in "${TOOLS[@]}"; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
  done
  if ((${#missing[@]})); then
    command -v apt-get >/dev/null || { echo "there is no ${missing[*]}, and no apt-get to install it"; return; }
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}"; } \
      >/dev/null 2>&1 </dev/null || { echo "apt-get cannot install ${missing[*]}"; return; }
  fi
  unshare --mount --net true 2>/dev/null || { echo "root here may not make namespaces (a container without rights?)"; return; }
  unshare --mount sh -c 'mkdir -p /run/ringcx-rotator-probe && mount -t cgroup2 cgroup2 /run/ringcx-rotator-probe' \
    2>/dev/null || echo "there is no cgroup2 to mount"
  rmdir /run/ringcx-rotator-probe 2>/dev/null || true
}

# guest_root SUITE PACKAGES: the directory of a root with these packages; made, the first time.
guest_root() {
  local suite=$1 packages=$2 cache="${XDG_CACHE_HOME:-$HOME/.cache}/ringcx-rotator/guests" root
  root="$cache/$suite-$(printf %s "$packages" | sha256sum | cut -c1-12)"
  mkdir -p "$cache"
  (
    flock 9
    if [[ ! -e $root.ready ]]; then
      echo "making the root of $suite, once: some minutes" >&2
      rm -rf --one-file-system "$root"
      # Said in words: whoever asks in an `if` has switched off that errors end it.
      mmdebstrap --quiet --variant=apt --include="$packages" "$suite" "$root" >&2 </dev/null || exit 1
      # Nothing of a guest runs by itself but what an act starts.
      rm -f "$root"/etc/systemd/system/timers.target.wants/*
      for unit in postfix nginx; do chroot "$root" systemctl disable -q "$unit" >/dev/null 2>&1 || true; done
      rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
      touch "$root.ready"
    fi
  ) 9>"$cache/$suite.lock" || return
  echo "$root"
}

# guest_world ROOT: what follows the guest through its reboots. To be called in a mount and network namespace of
# the proof's own. Sets WORLD; the guest sees $WORLD/share as /share.
guest_world() {
  ip link set lo up
  if [[ $(stat -fc %T /sys/fs/cgroup) != cgroup2fs ]]; then
    umount -l -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
  fi
  WORLD=$(mktemp -d /tmp/ringcx-rotator-guest.XXXXXX)
  mount -t tmpfs -o mode=0755 tmpfs "$WORLD"
  mkdir "$WORLD"/{upper,work,root,share}
  mount -t overlay -o "lowerdir=$1,upperdir=$WORLD/upper,workdir=$WORLD/work" overlay "$WORLD/root"
  CGROUP=/sys/fs/cgroup/ringcx-rotator-guest.$$
}

# Boots the guest and waits until systemd has nothing left to do.
guest_up() {
  local state
  mkdir -p "$CGROUP"
  # shellcheck disable=SC2016  # it is the inner shell that has these
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 bash -c '
    echo $$ > "$1/cgroup.procs"
    exec systemd-nspawn --quiet --directory="$2/root" --machine=rotator --hostname=rotator --register=no --keep-unit \
      --console=pipe --link-journal=no --bind="$2/share:/share" --system-call-filter=bpf --capability=CAP_BPF,CAP_NET_ADMIN \
      --boot systemd.unit=multi-user.target' _ "$CGROUP" "$WORLD" </dev/null >"$WORLD/console" 2>&1 &
  NSPAWN=$!
  for _ in {1..600}; do
    LEADER=$(pgrep -x -P "$NSPAWN" systemd || true)
    if [[ -n $LEADER ]] && in_guest test -S /run/systemd/private -a -S /run/dbus/system_bus_socket 2>/dev/null; then
      state=$(in_guest timeout 60 systemctl is-system-running --wait) && return
      echo "the guest is $state" >&2
      in_guest systemctl --failed --no-pager >&2
      return 1
    fi
    kill -0 "$NSPAWN" 2>/dev/null || break
    sleep 0.05
  done
  echo "the guest does not boot:" >&2
  cat "$WORLD/console" >&2
  return 1
}

# Runs a command in the guest, as its root, outside of any unit.
in_guest() {
  nsenter -t "$LEADER" -m -u -i -p -C "$@"
}

# Runs a command in the guest as systemd would: in a unit, with nothing inherited.
in_guest_unit() {
  in_guest systemd-run --quiet --wait --pipe --collect --working-directory=/ --setenv=HOME=/root --setenv=LANG=C.UTF-8 "$@" </dev/null
}

# Shuts the guest down in order.
guest_down() {
  [[ -n ${NSPAWN:-} ]] || return 0
  in_guest systemctl poweroff >/dev/null 2>&1 || true
  for _ in {1..400}; do
    kill -0 "$NSPAWN" 2>/dev/null || break
    sleep 0.05
  done
  kill -KILL "$NSPAWN" 2>/dev/null || true
  wait "$NSPAWN" 2>/dev/null || true
  NSPAWN=
  find "$CGROUP" -depth -type d -exec rmdir {} \; 2>/dev/null || true
}

# Takes away what guest_world made. The mounts are in a namespace of their own and go with it.
guest_gone() {
  [[ -n ${WORLD-} ]] || return 0
  guest_down
  umount "$WORLD/root" 2>/dev/null || umount -l "$WORLD/root" 2>/dev/null || true
  umount -l "$WORLD" 2>/dev/null || true
  rmdir "$WORLD" 2>/dev/null || true
}
