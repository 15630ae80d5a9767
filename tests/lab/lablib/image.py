# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests' Debian root: built by mmdebstrap, cached under a hash of what it is built from.

No initramfs: the cloud kernel has NVMe and ext4 built in and boots straight from
the disk, which saves its unpacking under software emulation. The mirror is the
machine's own, asked of apt; no name of one is in the repository.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from .paths import GUEST_FILES, PACKAGES, cache_dir
from .proc import LabError, need, run

SUITE = "bookworm"
DISK_SIZE = "1500M"  # sparse; the root takes a quarter of it
BUILD_LIMIT = 300

# Services a lab guest has no use for; each costs boot time under emulation.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
          "fstrim.timer", "getty-static.service", "getty@tty1.service",
          "serial-getty@ttyS0.service", "systemd-update-utmp.service",
          "systemd-update-utmp-runlevel.service")
# Started by whoever tests them.
DISABLED = ("ssh.service", "strongswan.service", "nftables.service", "systemd-networkd.service",
            "systemd-networkd-wait-online.service", "systemd-pstore.service", "e2scrub_reap.service")


class Image:
    def __init__(self, directory):
        self.kernel = directory / "vmlinuz"
        self.disk = directory / "root.ext4"
        self.ssh_key = directory / "ssh_key"


def packages():
    lines = (line.split("#")[0].split() for line in PACKAGES.read_text().splitlines())
    return sorted({line[1] for line in lines if line and line[0] in ("run", "guest")})


def inputs_hash():
    """Over everything the image is made from: this file, the packages, the files laid over the root."""
    digest = hashlib.sha256()
    overlay = sorted(p for p in GUEST_FILES.rglob("*") if p.is_file())
    for path in [Path(__file__), *overlay]:
        content = path.read_bytes()
        mode = path.stat().st_mode & 0o111
        digest.update(f"{path.name} {mode} {len(content)}\n".encode() + content)
    digest.update(" ".join(packages()).encode())
    return digest.hexdigest()[:16]


def ensure():
    """The image for today's inputs; builds it, and drops older ones, if it is not in the cache."""
    cache = cache_dir()
    target = cache / f"guest-{inputs_hash()}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two labs starting at once build one image
            if not target.is_dir():
                build(cache, target)
    return Image(target)


def build(cache, target):
    need("mmdebstrap", "mkfs.ext4", "ssh-keygen")
    print(f"lab: building the guest image (once, about a minute) in {target}", file=sys.stderr)
    started = time.monotonic()
    for stale in cache.glob("build-*"):  # of a build that was killed
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as scratch:
        result, root = Path(scratch) / "result", Path(scratch) / "root"
        result.mkdir()
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "countersign lab", "-f", str(result / "ssh_key")])
        bootstrap(root, Path(scratch) / "sources.list")
        furnish(root, (result / "ssh_key.pub").read_text())
        kernel, = (root / "boot").glob("vmlinuz-*")
        shutil.copy(kernel, result / "vmlinuz")
        shutil.rmtree(root / "boot")
        run(["mkfs.ext4", "-q", "-L", "lab-root", "-d", str(root), str(result / "root.ext4"), DISK_SIZE], timeout=BUILD_LIMIT)
        for old in cache.glob("guest-*"):
            shutil.rmtree(old, ignore_errors=True)
        os.rename(result, target)
    print(f"lab: image built in {time.monotonic() - started:.0f} s", file=sys.stderr)


def bootstrap(root, sources):
    lines = run(["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
                 "Identifier: Packages", "Origin: Debian"])
    if SUITE not in lines:
        raise LabError(f"apt knows no Debian {SUITE} archive here; run apt-get update, or add one to its sources")
    sources.write_text("".join(sorted(set(lines.splitlines(keepends=True)))))
    options = [f"--aptopt={o}" for o in inherited_apt_options()]
    # The kernel's hook would build an initramfs that nobody boots.
    options += [f"--dpkgopt=path-exclude={p}" for p in (
        "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/etc/kernel/postinst.d/initramfs-tools")]
    # In namespaces of its own, and bound to our life: interrupted or killed, its processes and its
    # mounts below `root` are gone before anything removes that directory.
    run(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL",
         "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
         f"--include={','.join(packages())}", *options, SUITE, str(root), str(sources)],
        timeout=BUILD_LIMIT, env=os.environ | {"TMPDIR": str(root.parent)})


def inherited_apt_options():
    """What this machine told apt about reaching its mirror holds for the guest's root too."""
    wanted = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy")
    lines = run(["apt-config", "dump"]).splitlines()
    return [line.rstrip(";") for line in lines if line.split(" ")[0] in wanted] + ['Acquire::Languages "none"']


def furnish(root, public_key):
    """Lays tests/lab/guest over the root and switches off what a lab guest does not need."""
    shutil.copytree(GUEST_FILES, root, dirs_exist_ok=True)
    for path in [p for p in GUEST_FILES.rglob("*")]:
        os.chown(root / path.relative_to(GUEST_FILES), 0, 0)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root / "root/.ssh/authorized_keys").write_text(public_key)
    for name in ("etc/apt/sources.list", "etc/machine-id", "etc/hostname"):
        (root / name).unlink(missing_ok=True)
    # Each command starts it, and bash takes twice as long to.
    run(["usermod", "--root", str(root), "--shell", "/bin/sh", "root"])
    # Empty, not "uninitialized": that would be a first boot, which enables every service again.
    (root / "etc/machine-id").touch()
    systemctl = ["chroot", str(root), "env", "SYSTEMD_OFFLINE=1", "systemctl"]  # the guest's own: this machine may have none
    run([*systemctl, "mask", *MASKED])
    run([*systemctl, "disable", *DISABLED])
    run([*systemctl, "enable", "lab-ssh.socket"])
    run([*systemctl, "set-default", "multi-user.target"])
