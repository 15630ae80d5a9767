#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer run, as its operator sees it: in a network namespace of its own, with a stand-in for keymsd."""

import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import require  # noqa: E402

SIGNER, STANDIN = sys.argv.pop(1), sys.argv.pop(1)
USER, KEYMSD = "nobody", "daemon"  # every Debian has them
ADMIN_ALONE = 1 << 12
# ESP, 5 ms apart, so that several batches are under way.
SEND = """
import socket, time
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, 50)
for number in range({count}):
    out.sendto((0x1001).to_bytes(4, "big") + number.to_bytes(4, "big") + bytes(40), ("192.0.2.2", 0))
    time.sleep(0.005)
"""


def a_key(number, direction):
    return {"key": number, "session": secrets.token_hex(32), "pcr_digest": secrets.token_hex(32), "direction": direction, "suite": 1,
            "gate_secret": secrets.token_hex(16), "lanes": [0, 15], "lifetime_ms": 3600000, "private_key": "00" + secrets.token_hex(31)}


class Daemon(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = Path(scratch.name)
        self.dir.chmod(0o755)
        for name, user in (("keymsd", KEYMSD), ("signer", USER)):
            (self.dir / name).mkdir()
            subprocess.run(["chown", f"{user}:nogroup", str(self.dir / name)], check=True)
        self.config = self.dir / "config.toml"
        self.config.write_text(f'[keymsd]\nsocket = "{self.dir}/keymsd/socket"\nuser = "{KEYMSD}"\n'
                               f'[control]\nsocket = "{self.dir}/signer/control"\n')
        self.scenario = self.dir / "scenario.json"
        self.keys = [a_key(1, 0), a_key(2, 1)]
        self.tell([{"id": 1, "mode": "enforce", "addresses": ["192.0.2.2"], "outbound": [self.keys[0]], "inbound": [self.keys[1]]}])

    def tell(self, peers):
        self.scenario.write_text(json.dumps({"peers": peers}))

    def start(self, *argv, **kwargs):
        log = open(self.dir / "log", "a+")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **kwargs)
        log.close()

        def end():
            process.kill()
            process.wait(timeout=10)
        self.addCleanup(end)
        return process

    def start_signer(self, **kwargs):
        # Becoming a user it keeps its capabilities in; a namespace of its own, so that its queues are.
        return self.start("unshare", "--net", SIGNER, "run", "--config", str(self.config), "--user", USER, "--allow-swapping", **kwargs)

    def start_keymsd(self, *more):
        uid = subprocess.run(["id", "-u", USER], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
        return self.start("setpriv", f"--reuid={KEYMSD}", "--regid=nogroup", "--clear-groups", STANDIN, "--socket", f"{self.dir}/keymsd/socket",
                          "--scenario", str(self.scenario), "--uid", uid, *more)

    def status(self):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(f"{self.dir}/signer/control")
            said = b""
            while chunk := control.recv(65536):
                said += chunk
        return json.loads(said)

    def await_status(self, wanted):
        deadline, now = time.monotonic() + 15, None
        while time.monotonic() < deadline:
            try:
                now = self.status()
                if wanted(now):
                    return now
            except (FileNotFoundError, ConnectionError):
                pass
            time.sleep(0.05)
        return self.fail(f"waited in vain; last: {now}\n{self.log()}")

    def await_log(self, words):
        deadline = time.monotonic() + 15
        while words not in self.log() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertIn(words, self.log())

    def log(self):
        return (self.dir / "log").read_text()

    def test_waits_for_keymsd_and_says_so(self):
        self.start_signer()
        self.await_status(lambda s: s["keymsd"] == "away" and "see whether keymsd runs" in s["keymsd_trouble"])
        self.start_keymsd()
        now = self.await_status(lambda s: s["keymsd"] == "connected" and s["keys"] == {"outbound": 1, "inbound": 1})
        self.assertEqual((now["state"], now["peers"], now["keymsd_trouble"]), ("open", 1, ""))
        self.assertEqual([w["queue"] for w in now["workers"]], [100, 101])

    def test_keys_outlive_keymsd_and_follow_it_when_it_is_back(self):
        self.start_signer()
        keymsd = self.start_keymsd()
        self.await_status(lambda s: s["keys"] == {"outbound": 1, "inbound": 1})
        keymsd.kill()
        now = self.await_status(lambda s: s["keymsd"] == "away")
        self.assertEqual(now["keys"], {"outbound": 1, "inbound": 1})
        self.tell([{"id": 1, "mode": "enforce", "addresses": ["192.0.2.2"], "outbound": [self.keys[0]], "inbound": []}])
        keymsd = self.start_keymsd()
        self.await_status(lambda s: s["keymsd"] == "connected" and s["keys"] == {"outbound": 1, "inbound": 0})
        self.tell([])
        keymsd.send_signal(signal.SIGHUP)
        self.await_status(lambda s: s["peers"] == 0 and s["keys"] == {"outbound": 0, "inbound": 0})
        self.assertIn("lost keymsd; its keys stay until each ends", self.log())

    def inside(self, signer, *argv):
        subprocess.run(["nsenter", f"--net=/proc/{signer.pid}/ns/net", *argv], stdin=subprocess.DEVNULL, timeout=20, check=True)

    def send_packets(self, signer, count):
        for words in ("link add out type veth peer name far", "link set out up", "link set far up", "address add 192.0.2.1/24 dev out"):
            self.inside(signer, "ip", *words.split())
        self.inside(signer, SIGNER, "rules", "--iptables", "--apply")
        self.send_more(signer, count)

    def send_more(self, signer, count):
        self.inside(signer, sys.executable, "-c", SEND.format(count=count))

    def test_what_waits_for_a_signature_outlives_keymsd(self):
        self.keys[0]["remote"] = True
        self.tell([{"id": 1, "mode": "enforce", "addresses": ["192.0.2.2"], "outbound": [self.keys[0]], "inbound": []}])
        signer = self.start_signer()
        keymsd = self.start_keymsd("--latency-ms", "60000")
        self.await_status(lambda s: s["keys"]["outbound"] == 1)
        self.send_packets(signer, 40)
        self.await_status(lambda s: s["workers"][0]["packets"]["received"] == 40)
        keymsd.kill()
        self.await_status(lambda s: s["keymsd"] == "away")
        self.start_keymsd()
        now = self.await_status(lambda s: s["workers"][0]["packets"]["signed"] == 40)["workers"][0]["packets"]
        self.assertEqual(now["dropped_signer_failed"], 0)

    def test_a_busy_keymsd_is_asked_again_and_no_packet_lost(self):
        self.keys[0]["remote"] = True
        self.tell([{"id": 1, "mode": "enforce", "addresses": ["192.0.2.2"], "outbound": [self.keys[0]], "inbound": []}])
        signer = self.start_signer()
        self.start_keymsd("--latency-ms", "20", "--unanswered", "1")
        self.await_status(lambda s: s["keys"]["outbound"] == 1)

        self.send_packets(signer, 40)
        now = self.await_status(lambda s: s["workers"][0]["packets"]["signed"] == 40)["workers"][0]["packets"]
        self.assertGreater(now["batches_asked_again"], 0)
        self.await_log("status: signed 40 in ")
        self.assertEqual(now["dropped_signer_failed"], 0)

    def test_nothing_leaves_for_a_peer_without_a_key_or_for_nobody(self):
        def dropped(number):
            packets = self.await_status(lambda s: s["workers"][0]["packets"]["received"] == number)["workers"][0]["packets"]
            self.assertEqual((packets["dropped_no_peer"], packets["signed"], packets["untouched"]), (number, 0, 0))
        self.tell([{"id": 1, "mode": "enforce", "addresses": ["192.0.2.2"], "outbound": [], "inbound": []}])
        signer = self.start_signer()
        keymsd = self.start_keymsd()
        self.await_status(lambda s: s["peers"] == 1)
        self.send_packets(signer, 3)
        dropped(3)
        self.tell([{"id": 1, "mode": "enforce", "addresses": ["192.0.2.9"], "outbound": [self.keys[0]], "inbound": []}])
        keymsd.send_signal(signal.SIGHUP)
        self.await_status(lambda s: s["keys"]["outbound"] == 1 and s["paths"] and s["paths"][0]["peer"] == "192.0.2.9")
        self.send_more(signer, 3)
        dropped(6)

    def test_runs_with_little_and_ends_when_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(f"{self.dir}/systemd")
            systemd.settimeout(10)
            Path(f"{self.dir}/systemd").chmod(0o777)
            signer = self.start_signer(env={"NOTIFY_SOCKET": f"{self.dir}/systemd"})
            # It lives on after it has looked around, twice.
            told = []
            while told.count("WATCHDOG=1") < 2:
                told.append(systemd.recv(4096).decode())
        self.assertIn("READY=1", told)
        told = dict(line.split(":\t", 1) for line in Path(f"/proc/{signer.pid}/status").read_text().splitlines() if ":\t" in line)
        self.assertEqual((int(told["CapPrm"], 16), int(told["CapEff"], 16)), (ADMIN_ALONE, ADMIN_ALONE))
        self.assertEqual((told["NoNewPrivs"], told["Seccomp"]), ("1", "2"))
        self.assertNotEqual(told["Uid"].split()[0], "0")
        signer.terminate()
        self.assertEqual(signer.wait(timeout=10), 0)
        self.assertIn("stopping", self.log())

    def test_what_is_wrong_is_told(self):
        def run(*argv):
            done = subprocess.run(["unshare", "--net", SIGNER, "run", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=20, check=False)
            return done.returncode, done.stdout + done.stderr
        config = ["--config", str(self.config)]
        self.assertEqual(run(*config, "--check")[0], 0)
        for more, words in ((config, "running as root"), ([*config, "--user", "no-such-user"], "useradd"), (["--config", "/no/such"], "No such file")):
            code, said = run(*more)
            self.assertEqual(code, 1)
            self.assertIn(words, said)
        for text, words in (("[queues]\nfrist = 1\n", "config.toml:2:1: no field is called \"queues.frist\""),
                            ("[queues]\ncount = 0\n", "config.toml:2:9: queues.count has to be a whole number from 1 to 128"),
                            ("[nothing]\n", "no section is called [nothing]"), ("[queues\n", "config.toml:1"),
                            ("[batch]\nmax = 8192\n", "queues.slots has to be at least batch.max"),
                            ("[translator]\nport = 4500\n", "translator.port is one of packets.udp_ports"),
                            ("[translator]\npeers = [\"192.0.2.1\"]\n", "translator.peers without translator.port"),
                            ("[translator]\nport = 4510\npeers = [\"2001:db8::1\", \"gateway\"]\n", "config.toml:3:25: translator.peers has to be"),
                            ("[mtu]\npolicy = \"none\"\n", "config.toml:2:10: mtu.policy has to be \"cap\" or \"fragment\""),
                            ("[mtu]\ninterval_ms = 1\n", "config.toml:2:15: mtu.interval_ms has to be a whole number from 100 to 60000"),
                            ("[tunnel]\n", "config.toml:1:1: tunnel has to be [[tunnel]], at most 256 times"),
                            ("[[tunnel]]\ninner = [\"10.0.0.0/8\"]\n", "config.toml:1:1: tunnel.peer is missing"),
                            ("[[tunnel]]\npeer = \"192.0.2.2\"\n", "tunnel.inner is missing"),
                            ("[[tunnel]]\npeer = \"192.0.2.256\"\n", "config.toml:2:8: tunnel.peer has to be right"),
                            ("[[tunnel]]\ninner = [\"10.0.0.0/8\", \"10.0.0.1/8\"]\n", "config.toml:2:24: tunnel.inner has to be right"),
                            ("[[tunnel]]\nmtu = 500\n", "config.toml:2:7: tunnel.mtu has to be a whole number from 576 to 65535"),
                            ("[[tunnel]]\nudp = 1\n", "config.toml:2:7: tunnel.udp has to be true or false"),
                            ("[[tunnel]]\npeer = \"::1\"\ninner = [\"::2/128\"]\nmode = \"transport\"\n", "transport mode has no inner networks"),
                            ("[[tunnel]]\npeer = \"::1\"\ninner = [\"::2/128\"]\nprotocol = \"ah\"\nudp = true\n", "AH does not go in UDP")):
            with self.subTest(text=text):
                self.config.write_text(text)
                code, said = run(*config, "--check")
                self.assertEqual(code, 1)
                self.assertIn(words, said)

    def test_inner_routes_follow_and_are_put_back_however_it_ends(self):
        space = self.start("unshare", "--net", "sleep", "600")
        inside = ["nsenter", f"--net=/proc/{space.pid}/ns/net"]
        deadline = time.monotonic() + 10
        while Path(f"/proc/{space.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

        def run(*argv, code=0):
            done = subprocess.run([*inside, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=20, check=False)
            self.assertEqual(done.returncode, code, done.stdout)
            return done.stdout
        run("sh", "-c", "ip link add left type veth peer name right && ip addr add 192.0.2.1/24 dev left && ip link set left up && "
                        "ip link set right up && ip route add 10.2.0.0/24 dev left && ip route add 10.3.0.0/24 dev left mtu 1400")
        memory = self.dir / "signer/routes"
        with self.config.open("a") as config:
            config.write(f'[translator]\nport = 4510\npeers = ["192.0.2.2"]\n[mtu]\nmemory = "{memory}"\ninterval_ms = 100\n[[tunnel]]\npeer = "192.0.2.2"\ninner = ["10.2.0.0/15"]\n')
        before = run("ip", "route")
        self.start_keymsd()

        def start():
            signer = self.start(*inside, SIGNER, "run", "--config", str(self.config), "--user", USER, "--allow-swapping")
            now = self.await_status(lambda s: s["paths"] and s["paths"][0]["tunnels"][0]["routes"] == 2)
            self.assertEqual((now["paths"][0]["peer"], now["paths"][0]["path_mtu"], now["paths"][0]["trouble"]), ("192.0.2.2", 1500, ""))
            self.assertEqual(run("ip", "route").count(f"mtu {now['paths'][0]['tunnels'][0]['inner_mtu']}"), 2)
            return signer
        signer = start()
        # What comes later is found, and set.
        run("ip", "route", "add", "10.2.9.0/24", "dev", "left")
        self.await_status(lambda s: s["paths"][0]["tunnels"][0]["routes"] == 3)
        run("ip", "route", "del", "10.2.9.0/24")
        self.await_status(lambda s: s["paths"][0]["tunnels"][0]["routes"] == 2)
        restore = [SIGNER, "routes", "--config", str(self.config), "--user", USER, "--restore"]
        self.assertIn("systemctl stop nfq-signer", run(*restore, code=1))
        signer.terminate()
        self.assertEqual(signer.wait(timeout=10), 0)
        self.assertEqual(run("ip", "route"), before)
        self.assertFalse(memory.exists())

        signer = start()
        signer.kill()
        signer.wait(timeout=10)
        self.assertNotEqual(run("ip", "route"), before)
        self.assertIn("10.3.0.0/24 in table 254: MTU 1226, before 1400", run(SIGNER, "routes", "--config", str(self.config)))
        signer = start()  # the next one takes over what the killed one left
        signer.terminate()
        self.assertEqual(signer.wait(timeout=10), 0)
        self.assertEqual(run("ip", "route"), before)

        signer = start()
        signer.kill()
        signer.wait(timeout=10)
        self.assertEqual(run(*restore), "put back: 2\n")
        self.assertEqual(run("ip", "route"), before)

    def test_a_peer_without_a_tunnel_is_told(self):
        self.start_signer()
        self.start_keymsd()
        now = self.await_status(lambda s: s["paths"])
        self.assertEqual((now["paths"][0]["peer"], now["paths"][0]["tunnels"]), ("192.0.2.2", []))

    def test_two_of_them_do_not_share_a_queue(self):
        first = self.start_signer()
        self.await_status(lambda s: True)
        second = subprocess.run(["nsenter", f"--net=/proc/{first.pid}/ns/net", SIGNER, "run", "--config", str(self.config), "--user", USER,
                                 "--allow-swapping"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertRegex(second.stderr, "control|listens on it")


if __name__ == "__main__":
    require.root("namespaces, and becoming other users")
    require.programs("unshare", "nsenter", "setpriv", "ip", "iptables")
    unittest.main(verbosity=2)
