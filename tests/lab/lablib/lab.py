# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab: up, down, status. Several can stand side by side under different names."""

import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from . import accel, image, netns, topology
from .endpoint import HostNode
from .guest import Guest
from .paths import RUN_ROOT
from .proc import LabError, alive, end_all, need, pids_naming, run, start_time
from .tpm import LabCa

TOPOLOGIES = ("two-gateways", "guests")


class Lab:
    def __init__(self, name):
        if not re.fullmatch(r"[a-z0-9]{1,16}", name):
            raise LabError(f"'{name}' is not a lab name: 1 to 16 lower-case letters and digits")
        if os.geteuid() != 0:
            raise LabError("the lab makes namespaces and tap devices: run it as root (sudo scripts/lab …)")
        self.name = name
        self.home = RUN_ROOT / name
        self.prefix = f"cs-{name}-"
        self.ca = LabCa(self.home / "ca")
        self.settings = self.home / "lab.json"
        self.owner = self.home / "up.json"  # who is bringing it up right now
        self.cancelled = threading.Event()

    # -- what there is ------------------------------------------------------

    def load(self):
        try:
            settings = json.loads(self.settings.read_text())
        except FileNotFoundError:
            raise LabError(f"lab '{self.name}' is not up; start it with: scripts/lab{self.option()} up") from None
        self.use(settings)
        return self

    def use(self, settings):
        self.accelerator = settings["accelerator"]
        kind, count = settings["topology"], settings["guests"]
        self.topology = topology.two_gateways() if kind == "two-gateways" else topology.guests(count)
        self.image = image.Image(image.Path(settings["image"]))
        self.namespaces = {n.name: self.prefix + n.name for n in self.topology.nodes if not n.guest}
        self.namespaces["mgmt"] = self.prefix + "mgmt"
        self.guests = {node.name: Guest(node, index, self.home / node.name, self.image, self.namespaces)
                       for index, node in enumerate(self.topology.guests(), start=1)}

    def option(self):
        return "" if self.name == DEFAULT_NAME else f" --name {self.name}"

    def endpoint(self, name):
        if name in self.guests:
            return self.guests[name]
        if self.topology.node(name):
            return HostNode(name, self.namespaces[name])
        nodes = ", ".join(n.name for n in self.topology.nodes)
        raise LabError(f"no node '{name}' in lab '{self.name}'; it has: {nodes}")

    # -- up -----------------------------------------------------------------

    def up(self, kind, count):
        """All or nothing: whatever goes wrong, also ctrl-C, leaves nothing behind."""
        need("qemu-system-x86_64", "qemu-img", "taskset", "ip", "ssh", "nsenter", "tcpdump", "iptables")
        if self.home.exists():
            raise LabError(f"lab '{self.name}' is up, or something of it is left; first: scripts/lab{self.option()} down")
        self.home.mkdir(parents=True)
        try:
            self.owner.write_text(json.dumps({"pid": os.getpid(), "started": start_time(os.getpid())}))
            guest_image = image.ensure()
            self.use({"accelerator": accel.choose(guest_image.kernel), "topology": kind, "guests": count,
                      "image": str(guest_image.kernel.parent)})
            self.make_namespaces()
            self.ca.prepare()
            self.boot_all()
            self.settings.write_text(json.dumps({"accelerator": self.accelerator, "topology": kind, "guests": count,
                                                 "image": str(guest_image.kernel.parent)}))
            self.owner.unlink()
        except BaseException:
            self.cancelled.set()
            self.clear()
            raise

    def make_namespaces(self):
        for name, namespace in self.namespaces.items():
            node = self.topology.node(name)
            netns.create(namespace, forwarding=bool(node and node.forwards))

    def boot_all(self):
        pool = ThreadPoolExecutor(max_workers=max(1, min(len(self.guests), os.cpu_count() or 1)))
        try:
            for boot in as_completed([pool.submit(self.first_boot, guest) for guest in self.guests.values()]):
                boot.result()
        except BaseException:
            # Threads cannot be interrupted, what they wait for can.
            self.cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            self.end_processes()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def first_boot(self, guest):
        guest.create(self.ca)
        self.start(guest)

    def start(self, guest):
        if self.cancelled.is_set():
            raise LabError("cancelled")
        plugs = [(i.name, *self.far_end(guest.name, i.name)) for i in guest.node.interfaces]
        guest.start(self.accelerator, plugs)
        for _, namespace, _ in plugs:
            self.configure_namespace(namespace)

    def far_end(self, guest, interface):
        peer, peer_interface = self.topology.peer(guest, interface)
        return self.namespaces[peer], peer_interface

    def configure_namespace(self, namespace):
        """Addresses go with a tap when its guest goes, so each boot of a guest brings them back."""
        node = self.topology.node(namespace.removeprefix(self.prefix))
        present = run(["ip", "-n", namespace, "-o", "link"])
        interfaces = tuple(i for i in node.interfaces if f": {i.name}:" in present)
        ready = topology.Node(node.name, interfaces=interfaces, routes=node.routes if interfaces == node.interfaces else ())
        commands = [line.replace("addr add", "addr replace").replace("route add", "route replace")
                    for line in topology.configure_commands(ready)]
        run(netns.inside(namespace, ["sh", "-c", "\n".join(["set -e", *commands])]))

    def guest(self, name):
        if name not in self.guests:
            raise LabError(f"'{name}' is not a guest of lab '{self.name}'; guests: {', '.join(self.guests)}")
        return self.guests[name]

    def reboot(self, name):
        guest = self.guest(name)
        guest.power_off()
        self.start(guest)

    # -- down ---------------------------------------------------------------

    def down(self):
        """Leaves no process, namespace, mount or file of this lab; says whether there was anything."""
        try:
            owner = json.loads(self.owner.read_text())
            if owner["pid"] != os.getpid():
                end_all(lambda: [owner["pid"]] if alive(owner["pid"], owner["started"]) else [], patience=15)
        except FileNotFoundError:
            pass
        was_up = self.home.exists() or bool(netns.named(self.prefix))
        self.clear()
        return was_up

    def end_processes(self):
        end_all(lambda: pids_naming(f"{self.home}/"))

    def clear(self):
        self.end_processes()
        netns.destroy(self.prefix)
        shutil.rmtree(self.home, ignore_errors=True)
        if RUN_ROOT.exists() and not any(RUN_ROOT.iterdir()):
            RUN_ROOT.rmdir()

    # -- status -------------------------------------------------------------

    def status(self):
        nodes = []
        for node in self.topology.nodes:
            if node.guest:
                guest = self.guests[node.name]
                nodes.append({"node": node.name, "kind": "guest", "state": guest.state(),
                              "pid": guest.identity()["pid"], "console": str(guest.console), "tpm": str(guest.tpm_state)})
            else:
                nodes.append({"node": node.name, "kind": "namespace", "state": "up", "namespace": self.namespaces[node.name]})
        return {"lab": self.name, "accelerator": self.accelerator, "image": str(self.image.disk), "nodes": nodes}


DEFAULT_NAME = "lab"
