# SPDX-License-Identifier: GPL-3.0-or-later
"""One QEMU guest: its TPM, its disk, its console, and ssh into it.

The management channel is a NIC of its own in a namespace of its own, on both
sides: nothing that a test does to addresses, routes, firewall or IPsec policy
reaches it.
"""

import json
import os
import re
import shlex
import subprocess
import time

from . import netns, tpm
from .endpoint import Endpoint
from .proc import TIMED_OUT, LabError, alive, end_all, pids_naming, run, start_time
from .topology import configure_commands

BOOT_LIMIT = 90
READY = "lab: ready"
CONSOLE_TAIL = 30
MGMT_SLOT = 0x10

# no_timer_check: a guest that gets no processor for a moment would take its timer for broken, and panic.
KERNEL_ARGUMENTS = ("console=ttyS0 root=/dev/nvme0n1 rw loglevel=5 panic=-1 oops=panic net.ifnames=0 "
                    "nvme_core.io_timeout=5 ima_policy=tcb systemd.show_status=auto random.trust_cpu=on no_timer_check")


class Guest(Endpoint):
    """`index` numbers the guests of a lab; `home` is its directory under the lab's."""

    def __init__(self, node, index, home, image, namespaces):
        self.name = node.name
        self.node, self.index, self.home, self.image = node, index, home, image
        self.namespaces = namespaces  # of the lab: node name → namespace, and "mgmt"
        self.console = home / "console.log"
        self.tpm_state = home / "tpm"
        self.control = home / "ssh"

    # -- life ---------------------------------------------------------------

    def create(self, ca):
        self.home.mkdir()
        tpm.manufacture(ca, self.tpm_state, self.node.name)
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.image.disk), str(self.home / "disk.qcow2")])

    def start(self, accelerator, plugs):
        """Boots and returns once commands run in it. `plugs`: (interface, namespace, name there) per NIC."""
        tpm.start(self.tpm_state, self.home / "tpm.sock", self.home / "tpm.log")
        taps = [("mgmt", self.namespaces["mgmt"], self.node.name), *plugs]
        self.launch(accelerator, taps)
        self.wait_ready()
        self.open_channel()
        self.configure([name for name, _, _ in plugs])

    def launch(self, accelerator, taps):
        seen = self.console.stat().st_size if self.console.exists() else 0  # of earlier boots
        fds = []
        try:
            for number, (_, namespace, name) in enumerate(taps):
                fds.append(netns.tap(namespace, name, f"cs{os.getpid()}g{self.index}t{number}"))
                run(["ip", "-n", namespace, "link", "set", name, "up"])
            with open(self.home / "qemu.log", "a") as log:
                process = subprocess.Popen(self.qemu(accelerator, fds), pass_fds=fds, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log, start_new_session=True)
        finally:
            for fd in fds:
                os.close(fd)
        identity = {"pid": process.pid, "started": start_time(process.pid), "since": time.time(), "console_from": seen}
        (self.home / "qemu.json").write_text(json.dumps(identity))

    def qemu(self, accelerator, fds):
        # QEMU's NVMe lacks a memory barrier between telling the guest when to ring and looking whether it should have:
        # once in some fifty boots the disk then stands still. Threads that share a CPU cannot see the difference;
        # nvme_core.io_timeout is the way back should another cause do the same.
        cpus = sorted(os.sched_getaffinity(0))
        argv = ["taskset", "--cpu-list", str(cpus[self.index % len(cpus)]), "qemu-system-x86_64", "-name", self.node.name, "-accel", accelerator, "-machine", "q35", "-cpu", "max",
                "-smp", "1", "-m", "512", "-display", "none", "-nodefaults", "-no-reboot",
                "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
                "-kernel", str(self.image.kernel), "-append", f"{KERNEL_ARGUMENTS} systemd.hostname={self.node.name}",
                "-drive", f"if=none,id=disk,file={self.home}/disk.qcow2,format=qcow2,cache=unsafe",
                "-device", "nvme,drive=disk,serial=root", "-device", "virtio-rng-pci",
                "-chardev", f"socket,id=tpm,path={self.home}/tpm.sock",
                "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]
        for number, fd in enumerate(fds):
            argv += ["-netdev", f"tap,id=net{number},fd={fd}",
                     "-device", f"virtio-net-pci,netdev=net{number},mac={self.mac(number)},addr={MGMT_SLOT + number:#x}"]
        return argv

    def mac(self, nic):
        return f"52:54:00:00:{self.index:02x}:{nic:02x}"

    def wait_ready(self):
        deadline = time.monotonic() + BOOT_LIMIT
        while READY not in self.this_boot():
            if not self.running():
                raise self.crashed("while it booted")
            if time.monotonic() > deadline:
                raise LabError(f"{self.node.name} is not ready {BOOT_LIMIT} s after power-on{self.console_end()}", TIMED_OUT)
            time.sleep(0.1)

    def running(self):
        try:
            identity = json.loads((self.home / "qemu.json").read_text())
        except FileNotFoundError:
            return False
        return alive(identity["pid"], identity["started"])

    def state(self):
        if not self.running():
            return "crashed"
        return "no TPM" if self.ailment() else "up"

    def identity(self):
        return json.loads((self.home / "qemu.json").read_text())

    def power_off(self):
        """As an administrator would, so that the file system and the TPM state are written; then by force."""
        if self.running():
            try:
                self.run(["systemctl", "--no-block", "poweroff"], limit=10)
                deadline = time.monotonic() + 20
                while self.running() and time.monotonic() < deadline:
                    time.sleep(0.1)
            except LabError:
                pass
        self.cut_power()

    def cut_power(self):
        """Without a word to the guest."""
        end_all(lambda: [self.identity()["pid"]] if self.running() else [])
        end_all(lambda: pids_naming(f"{self.control}\0"))  # or it takes the next one's socket along when it notices

    # -- the channel --------------------------------------------------------

    def ssh(self, *options):
        return ["ssh", "-S", str(self.control), "-i", str(self.image.ssh_key), "-F", "none", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6",
                *options, f"root@fe80::2%{self.node.name}"]

    def open_channel(self):
        """One authenticated connection; each command is then a cheap session on it."""
        self.control.unlink(missing_ok=True)
        with open(self.home / "ssh.log", "a") as log:
            master = netns.inside(self.namespaces["mgmt"], self.ssh("-f", "-N", "-M"))
            code = subprocess.call(master, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=40)
        if code != 0:
            raise LabError(f"{self.node.name}: no ssh into the guest: {(self.home / 'ssh.log').read_text().strip()}")

    def command(self, argv, tty=False):
        return self.ssh("-o", "ControlMaster=no", *(["-t"] if tty else ["-T"])) + [shlex.join(argv or ["bash", "-l"])]

    def ensure_alive(self):
        if not self.running():
            raise self.crashed("and is gone")

    def ailment(self):
        if not self.running() or tpm.running(self.tpm_state):
            return ""
        return (f"guest {self.name} has lost its TPM: swtpm ended (log: {self.home / 'tpm.log'}); "
                f"bring both back with: scripts/lab reboot {self.name}")

    def configure(self, interfaces):
        lines = ["set -e", "modprobe virtio_net"]
        for number, name in enumerate(interfaces, start=1):
            lines += [f"dev=$(basename $(dirname $(grep -lx {self.mac(number)} /sys/class/net/*/address)))",
                      f'ip link set "$dev" name {name}']
        if self.node.forwards:
            lines.append("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        lines += ["ip link set lo up", *configure_commands(self.node)]
        self.run(["sh", "-c", "\n".join(lines)])

    # -- what went wrong ----------------------------------------------------

    def console_text(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def this_boot(self):
        if not self.console.exists():
            return ""
        with open(self.console, "rb") as console:
            console.seek(self.identity()["console_from"])
            return console.read().decode(errors="replace")

    def console_end(self):
        lines = [line.rstrip() for line in self.console_text().splitlines() if line.strip()]
        return f"\n--- end of its console ({self.console}) ---\n" + "\n".join(lines[-CONSOLE_TAIL:])

    def crashed(self, when):
        """The error for it. Ends ssh too, which would hold its callers' streams until it notices by itself."""
        end_all(lambda: pids_naming(f"{self.control}\0"))
        log = (self.home / "qemu.log").read_text(errors="replace").strip() if (self.home / "qemu.log").exists() else ""
        # Quoted, because the stack trace that follows it can be longer than the end that is shown.
        panic = re.search(r"Kernel panic - not syncing: (.*)", self.this_boot())
        why = f"its kernel panicked: {panic[1].strip()}" if panic else "QEMU ended"
        said = f"\nQEMU said: {log}" if log else ""
        return LabError(f"guest {self.node.name} crashed {when}: {why}.{said}{self.console_end()}"
                        f"\n--- bring it back with: scripts/lab reboot {self.node.name}")
