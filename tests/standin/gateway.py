# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway on this machine: a TPM (swtpm), keymsd, and what it needs, without a kernel to watch. For tests of two of them."""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

PATIENCE = 30


def wait_for(what, probe, limit=PATIENCE):
    """What `probe` gives, once it is true. `what`: words, or what makes them when it is not."""
    deadline = time.monotonic() + limit
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} s: {what() if callable(what) else what}")
        time.sleep(0.05)


class Gateway:
    def __init__(self, name, directory, port, programs, **config):
        self.name, self.directory, self.port, self.programs = name, Path(directory) / name, port, programs
        self.number = port % 100  # of its addresses
        self.directory.mkdir()
        (self.directory / "tpm").mkdir()
        self.control = str(self.directory / "control")
        self.signer = str(self.directory / "data-plane")
        self.file = self.directory / "keymsd.toml"
        self.tcti = f"swtpm:path={self.directory}/tpm.sock"
        self.sections = {
            "tpm": {"tcti": self.tcti, "boot_log": "/nowhere/boot", "ima_log": "/nowhere/ima"},
            "state": {"directory": str(self.directory / "state")},
            "trust": {"vendor_roots": str(self.directory / "roots"), "digest_lists": str(self.directory / "lists")},
            "network": {"listen": [f"127.0.0.1:{port}"], "carrier": str(programs["keymsd-carrier"]), "carrier_user": "nobody"},
            "sockets": {"control": self.control, "signer": self.signer, "signer_user": "root"},
            "kernel": {"enabled": False},
        }
        for section, fields in config.items():
            self.sections[section].update(fields)
        self.configure()
        self.tpm = self.daemon = None
        self.power_on()

    def configure(self, **sections):
        for section, fields in sections.items():
            self.sections[section].update(fields)
        lines = []
        for section, fields in self.sections.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        self.file.write_text("\n".join(lines) + "\n")

    def power_on(self):
        self.tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.directory}/tpm", "--flags", "not-need-init,startup-clear",
                                     "--server", f"type=unixio,path={self.directory}/tpm.sock", "--ctrl", f"type=unixio,path={self.directory}/tpm.sock.ctrl"],
                                    stderr=subprocess.DEVNULL)
        wait_for("swtpm", lambda: (self.directory / "tpm.sock").is_socket())

    def power_off(self):
        """Without warning."""
        self.kill()
        self.lose_tpm()

    def lose_tpm(self):
        """It loses its power; the daemon goes on."""
        if self.tpm:
            self.tpm.kill()
            self.tpm.wait()
            for path in ("tpm.sock", "tpm.sock.ctrl"):
                with contextlib.suppress(FileNotFoundError):
                    (self.directory / path).unlink()

    def run(self, *arguments, status=0):
        done = subprocess.run([str(self.programs["countersign"]), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        if status is not None and done.returncode != status:
            raise AssertionError(f"{self.name}: countersign {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def init(self):
        return self.run("init", self.name, "--config", self.file, "--user", "")

    def start(self):
        with open(self.directory / "log", "a", encoding="utf-8") as log:
            # Where there is a journal, its lines would go there instead.
            self.daemon = subprocess.Popen([str(self.programs["keymsd"]), "--config", str(self.file)], stderr=log, stdout=log)
        wait_for(f"{self.name} answers", self.answers)

    def answers(self):
        if self.daemon.poll() is not None:
            raise AssertionError(f"{self.name}: keymsd ended: {self.told()}")
        try:
            return self.ask("status")
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def told(self):
        return (self.directory / "log").read_text(encoding="utf-8")

    def workers(self):
        """Processes that the daemon has started."""
        return [int(one) for one in Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text(encoding="ascii").split()]

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(10)
            self.daemon = None

    def kill(self):
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait(10)
            self.daemon = None
            # As the kernel's resource manager does for a process that has gone.
            for kind in ("transient", "loaded"):
                subprocess.run(["tpm2_flushcontext", f"--{kind}-{'object' if kind == 'transient' else 'session'}"],
                               env={"PATH": "/usr/bin:/bin", "TPM2TOOLS_TCTI": self.tcti}, check=True)

    def end(self):
        self.power_off()

    def ask(self, verb, **arguments):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(60)
            line.connect(self.control)
            line.sendall(json.dumps({"version": 1, "verb": verb, "arguments": arguments}).encode() + b"\n")
            answer = json.loads(line.makefile().readline())
        if not answer["ok"]:
            raise Refused(f"{self.name}: {verb}: {answer['error']['message']}")
        return answer["result"]

    def status(self):
        return self.ask("status")

    def peer(self, name):
        return next((one for one in self.ask("peers")["peers"] if one["peer"] == name), None)

    def standing(self, name):
        found = self.peer(name)
        return found and found["standing"]

    def key_name(self):
        return wait_for(f"{self.name} is open", lambda: self.status()["tpm"])["attestation_key"]

    def events(self, **like):
        return [one for one in self.ask("lately")["events"] if all(one[name] == value for name, value in like.items())]


class Refused(Exception):
    """By keymsd, with its words."""


POLICY = """\
name = "{a.name}-{b.name}"
version = {version}
{predecessor}
[gateways.{a.name}]
attestation_key = "{key_a}"
proof = "optional"
addresses = ["192.0.2.{a.number}"]
keymsd = "127.0.0.1:{a.port}"
[gateways.{b.name}]
attestation_key = "{key_b}"
proof = "optional"
addresses = ["192.0.2.{b.number}"]
keymsd = "127.0.0.1:{b.port}"
[tunnels.net]
traffic.{a.name} = ["10.{a.number}.0.0/16"]
traffic.{b.name} = ["10.{b.number}.0.0/16"]
proposals = ["aes256gcm16"]
{more}
"""


def propose(a, b, version=1, predecessor="", more="", directory=None):
    """The path of a policy that `a` alone has signed, and its fingerprint."""
    directory = directory or a.directory.parent
    text = POLICY.format(a=a, b=b, key_a=a.key_name(), key_b=b.key_name(), version=version,
                         predecessor=f'predecessor = "{predecessor}"' if predecessor else "", more=more)
    plain, half = (directory / f"{a.name}-{b.name}-{version}.{end}" for end in ("toml", "proposed"))
    plain.write_text(text)
    told = a.run("policy", "propose", plain, "--out", half, "--socket", a.control)
    return half, re.search(r"(\d{6}\s+){7}\d{6}", told)[0]


def agree(a, b, **more):
    """The path of an agreement that both have signed."""
    half, digits = propose(a, b, **more)
    whole = half.with_suffix(".agreed")
    b.run("policy", "agree", half, "--out", whole, "--fingerprint", digits, "--socket", b.control)
    return whole


def apply(gateway, agreement, **more):
    return gateway.ask("apply", agreement=base64.b64encode(Path(agreement).read_bytes()).decode(), **more)


def proc(pid, field):
    """Of /proc/PID/status, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(field)


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
