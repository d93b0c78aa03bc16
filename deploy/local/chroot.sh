#!/bin/sh
# chroot.sh ROOT DATA USER SIGNAL COMMAND... : runs COMMAND as USER in the tree ROOT, DATA mounted on /mnt.
# Only ever started by `unshare --mount`: every mount below is private to this process and its children, so
# no other process can meet the host's /dev, /proc or DATA when it removes ROOT. SIGNAL: sent to COMMAND when
# its parent dies ("clear": none).
set -eu
if [ "$(readlink /proc/$$/ns/mnt)" = "$(readlink "/proc/$PPID/ns/mnt")" ]; then
    echo "error no_mount_rights: chroot.sh must be started by unshare --mount" >&2
    exit 2
fi
root=$1 data=$2 user=$3 signal=$4
shift 4
mount --make-rprivate /
# Read-only: several stacks share one tree.
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$data" "$root/mnt"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
# A /dev of its own with five devices in it, not the host's.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --pdeathsig "$signal" -- "$@"
