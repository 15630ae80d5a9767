#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways attest each other with their TPMs, and strongSwan's tunnel between their LANs passes as long as they do: signed, packet by packet."""

import json
import re
import sys
import time
from contextlib import contextmanager

import labtest
from keymsdtest import FIRST, HERE, MARKS, AttestedTest, changed, pair, peer_of
from labtest import HOST_B, WAN
from lablib.paths import REPO
from lablib.pcap import ESP, TCP, UDP
from lablib.proc import run
from test_tpm import read_pcrs

sys.path.insert(0, str(REPO / "tests/vectors"))
import reference  # noqa: E402

CLOSING = r"delete element inet countersign_gate gwb\.granted"  # as `nft monitor` tells it
# Gateway B's IKE credential, in the hands of somebody behind B's own address.
THIEF = """
set -e
ip netns add thief
ip link add thief type veth peer name inside netns thief
ip addr add 10.99.0.1/24 dev thief
ip link set thief up
ip -n thief link set lo up
ip -n thief link set inside up
ip -n thief addr add 10.99.0.2/24 dev inside
ip -n thief addr add 10.2.0.99/32 dev lo
ip -n thief route add default via 10.99.0.1
nft 'table ip thief { chain out { type nat hook postrouting priority 100; ip saddr 10.99.0.2 oifname "wan" masquerade; }; }'
mkdir -p /run/thief
cp -r /etc/swanctl /run/thief
sed -i -e 's/local_addrs = .*/local_addrs = 10.99.0.2/' -e 's/start_action = trap/start_action = none/' /run/thief/swanctl/swanctl.conf
cat > /run/thief/strongswan.conf <<'END'
include /etc/strongswan.conf
charon-systemd { plugins { vici { socket = unix:///run/thief/vici } } }
END
systemd-run --quiet --unit=thief -p Type=exec -E STRONGSWAN_CONF=/run/thief/strongswan.conf ip netns exec thief /usr/sbin/charon-systemd
for i in $(seq 100); do [ -S /run/thief/vici ] && break; sleep 0.1; done
SWANCTL_DIR=/run/thief/swanctl swanctl --load-all --uri unix:///run/thief/vici
"""
# By what has passed on the clock that nobody sets.
CLOCK_BACK = "read now rest < /proc/uptime; read then rest < /run/then; date -s @$(( $(tail -n 1 /run/then) + ${now%.*} - ${then%.*} ))"
THIEF_GONE = "systemctl stop thief; ip netns del thief; nft delete table ip thief; ip link del thief; rm -rf /run/thief"


def host_tunnel(here, there):
    """Between the gateways' own addresses, with what guards it; into a line of sed."""
    lines = f"host {{ mode = transport\n local_ts = dynamic\n remote_ts = dynamic\n esp_proposals = aes256gcm16\n {MARKS}}}\n "
    return (lines + f"host-guard {{ local_ts = {here}/32\n remote_ts = {there}/32\n mode = drop\n start_action = trap }}\n ").replace("\n", "\\n")


class Attested(AttestedTest):
    """Each test begins, and ends, with a tunnel that passes."""

    def test_a_every_packet_is_signed(self):
        before = [self.status(gateway)["data_plane"]["packets_signed"] for gateway in pair(self)]
        with self.wire("wana") as seen:
            self.assertEqual(self.ping(self.hosta, HOST_B[4], count=10), 10)
        self.assert_no_plaintext(seen)
        esp = [packet for packet in seen if packet.proto == ESP]
        self.assertGreaterEqual(len(esp), 20)
        for packet in esp:
            reference.parse_extension(reference.parse(packet.data))  # raises where there is none
        print(f"{len(esp)} ESP packets on the wire, each with its extension; signed before: {before}")

    def load(self, seconds, meanwhile=lambda: None):
        """What three pings tell after so long, and how often each gateway was attested anew meanwhile."""
        runs = [self.peer(gateway)["granted_runs"] for gateway in pair(self)]
        pings = [self.hosta.popen(["ping", "-n", "-q", "-i", "0.02", "-c", str(seconds * 50), "-W", "5", "-s", str(size), HOST_B[4]], limit=120,
                                  stdout=-1, text=True) for size in (56, 600, 1200)]
        time.sleep(2)  # the pings are under way
        meanwhile()
        told = [re.search("(\\d+) packets transmitted, (\\d+) received", ping.communicate(timeout=120)[0]) for ping in pings]
        renewed = [self.peer(gateway)["granted_runs"] - before for gateway, before in zip(pair(self), runs)]
        return [int(one[1]) - int(one[2]) for one in told], renewed

    def test_b_renewed_under_load_nothing_is_lost(self):
        lost, renewed = self.load(40)
        print(f"renewals under load: {renewed}, lost: {lost} of 2000 each")
        self.assertGreaterEqual(min(renewed), 2)
        self.assertEqual(lost, [0, 0, 0])

    def test_b_rekeyed_under_load_the_new_sa_is_admitted(self):
        lost, _ = self.load(10, lambda: self.gwa.run(["swanctl", "--rekey", "--child", "net"]))
        print(f"lost at a rekey under load: {lost} of 500 each")
        # Packets of the new SA wait until both have agreed on it; what the kernel takes for a replay after that is lost.
        self.assertLess(sum(lost), 100)

    def test_c_drift_closes_the_gate_and_both_operators_are_told(self):
        since = [self.now(gateway) for gateway in pair(self)]
        policy = ["src", "10.1.0.2", "dst", HOST_B[4], "dir", "out", "priority", "1"]  # what hosta sends leaves in clear
        with self.traffic(self.hosta) as traffic:
            traffic.await_flow()
            took = self.gwa.run(["perl", f"{HERE}/gate_clock.pl", CLOSING, "ip", "xfrm", "policy", "add", *policy]).out
            print(f"gate closed {took.strip()} ms after the policy was added")
            self.assertLess(int(took), 1000)
            traffic.assert_stands()
        for entry in self.await_entries(self.gwa, "drift", since[0]):
            self.assertTrue(entry["MESSAGE_ID"] and entry["REASON"] == "policy-bypass", entry)
        self.await_told(self.gwa, "denied", "gwb", "own_drift", since[0])
        self.await_peer(self.gwb, lambda peer: peer["standing"] == "closed", 5)
        self.await_told(self.gwb, "denied", "gwa", "own_drift", since[1])
        self.assertIn("ip xfrm policy delete", self.countersign(self.gwa, "status", status=1))

        self.gwa.run(["ip", "xfrm", "policy", "delete", *policy[:6]])
        self.mend_by_approval()

    def mend_by_approval(self):
        """What had drifted is as agreed again: the approver has to say so, and the other gateway's operator."""
        self.await_status(self.gwa, lambda now: all(one["severity"] == "note" for one in now["kernel"]["drift"]))
        self.assert_silence(self.hosta, HOST_B[4])
        print(self.approve_state(self.gwa))
        self.await_peer(self.gwb, lambda peer: "drift" in str(peer["reasons"]), 30)
        self.assert_silence(self.hosta, HOST_B[4])
        self.countersign(self.gwb, "acknowledge", "gwa", "--yes")
        begun = time.monotonic()
        self.await_standing("granted", 60)
        self.await_flow()
        print(f"flows {time.monotonic() - begun:.1f} s after it was acknowledged")

    def test_d_a_stolen_ike_credential_is_not_admitted(self):
        since = self.now(self.gwa)
        with self.thief():
            self.gwb.run(["sh", "-c", "swanctl --initiate --child net --timeout 20 --uri unix:///run/thief/vici"], check=False)
            self.assertIn("ESTABLISHED", self.gwb.run(["swanctl", "--list-sas", "--uri", "unix:///run/thief/vici"]).out)
            answered = self.gwb.run(["ip", "netns", "exec", "thief", "ping", "-n", "-q", "-c", "5", "-i", "0.5", "-W", "1", "-I", "10.2.0.99", "10.1.0.2"],
                                    check=False)
            self.assertIn(" 0 received", answered.out)
            told = self.await_entries(self.gwa, "sa-refused", since)
            print(told[0]["MESSAGE"])
            self.assertEqual(self.peer(self.gwa)["standing"], "granted")
        self.gwa.run(["swanctl", "--terminate", "--ike", "lab", "--force"], check=False)

    @contextmanager
    def thief(self):
        self.gwb.run(["sh", "-c", THIEF])
        try:
            yield
        finally:
            self.gwb.run(["sh", "-c", THIEF_GONE], check=False)

    def test_e_a_peer_that_falls_silent_is_cut(self):
        since = self.now(self.gwa)
        self.gwb.run(["systemctl", "kill", "-s", "STOP", "--kill-whom=main", "keymsd"])
        begun = time.monotonic()
        self.await_peer(self.gwa, lambda peer: peer["standing"] == "closed", 10)
        took = time.monotonic() - begun
        self.assert_silence(self.hosta, HOST_B[4])
        self.gwb.run(["systemctl", "kill", "-s", "CONT", "--kill-whom=main", "keymsd"])
        self.await_told(self.gwa, "denied", "gwb", "silent", since)
        self.await_standing("granted", 60)
        print(f"cut {took:.1f} s after it fell silent, flows {self.await_flow():.1f} s after it attested anew")

    def test_f_a_peer_whose_keymsd_is_stopped_is_cut_at_once(self):
        self.gwb.run(["systemctl", "stop", "keymsd"])
        self.await_peer(self.gwa, lambda peer: peer["standing"] == "closed" and reasons_of(peer) == {"stopping"}, 3)
        self.assert_silence(self.hosta, HOST_B[4])
        self.gwb.run(["systemctl", "start", "keymsd"])
        self.await_standing("granted", 60)

    def test_g_killed_it_closes_and_comes_back(self):
        for unit in ("keymsd", "nfq-signer", "keymsd-carrier"):
            with self.subTest(killed=unit), self.traffic(self.hosta) as traffic:
                traffic.await_flow()
                before, runs = traffic.answered(), self.peer(self.gwb)["granted_runs"]
                kill = ["pkill", "-9", "-x", unit[:15]]
                if unit == "keymsd":
                    took = self.gwa.run(["perl", f"{HERE}/gate_clock.pl", CLOSING, *kill]).out
                    print(f"gate closed {took.strip()} ms after keymsd was killed")
                else:
                    self.gwa.run(kill)
                killed = time.monotonic()
                traffic.await_flow(30)
                print(f"{unit} killed: {traffic.answered() - before} answers, flows {time.monotonic() - killed:.1f} s later")
                self.await_peer(self.gwb, lambda peer, runs=runs: peer["granted_runs"] > runs, 60)  # attested anew, or renewed
                self.await_standing("granted", 60)

    def test_h_after_a_power_cut_it_comes_back_by_itself(self):
        self.gwa.cut_power()
        begun = time.monotonic()
        self.lab.start(self.gwa)
        self.await_standing("granted", 90)
        self.await_flow(60)
        print(f"flows {time.monotonic() - begun:.1f} s after power came back")


    def test_i_a_policy_that_wants_proof_and_boot_values(self):
        """Version 2: each shows that its attestation key is in a TPM whose vendor the other trusts, and the boot registers that it has now."""
        roots = [self.lab.ca.root_certificate(), self.lab.ca.issuer_certificate()]
        boot = dict(self.on_both(self.boot_values))
        values = {**FIRST, "proof": '"required"', "version": "2"}

        def second(text):
            text = changed(text, values).replace("version = 2", f'version = 2\npredecessor = "{self.peer(self.gwa)["policy"]["value"]}"')
            for gateway, lines in boot.items():
                head, tail = text.split(f"[gateways.{gateway}]\n")
                text = f"{head}[gateways.{gateway}]\n{lines}{tail}"
            return text

        agreement = self.agree(second, 2)
        self.on_both(lambda gateway: self.countersign(gateway, "policy", "plan", agreement))
        self.on_both(lambda gateway: self.countersign(gateway, "policy", "apply", agreement))
        self.await_peer(self.gwa, lambda peer: "tpm_vendor" in reasons_of(peer), 60)
        self.assert_silence(self.hosta, HOST_B[4])
        self.on_both(lambda gateway: gateway.push(roots, "/etc/countersign/vendor-roots"))
        self.on_both(lambda gateway: gateway.run(["systemctl", "reload", "keymsd"]))
        self.await_standing("granted", 60)
        self.assertTrue(all(self.peer(gateway)["proved"] for gateway in pair(self)))
        self.await_flow()
        self.assertNotIn("TPM unproven", self.countersign(self.gwa, "status"))

    @staticmethod
    def boot_values(gateway):
        """Lines of the policy: each boot register of firmware and boot loader with its value, but two that may have any."""
        values = read_pcrs(gateway, "sha256")
        lines = [f'boot.{n} = ["{values[n].hex()}"]\n' for n in (0, 2, 3, 6, 7)] + ["boot.1 = []\n", "boot.4 = []\n"]
        return gateway.name, "".join(lines)

    def test_j_what_runs_is_in_a_signed_list(self):
        """The next version: whatever the other's kernel has measured has to be in a list that is signed by the key of the policy."""
        key = self.directory / "list.key"
        run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", str(key)])
        lists = [self.signed(key, gateway.name, text) for gateway, text in zip(pair(self), self.on_both(self.usr_list))]
        signer = re.search("signed by ([0-9a-f]{64})", self.countersign_digest_list("check", lists[0]))[1]
        self.on_both(lambda gateway: self.accept(gateway, lists))
        now = self.peer(self.gwa)["policy"]
        version = now["version"] + 1
        ignored = [f"{HERE}/", "/etc/", "/var/", "/run/", "/root/", "/tmp/"]  # the first has what this test makes
        rules = f'list_keys = ["{signer}"]\nignored = {json.dumps(ignored)}\naccept_violations = true\n'

        def judged_by_ima(text):
            text = changed(text, {**FIRST, "version": version}).replace(f"version = {version}", f'version = {version}\npredecessor = "{now["value"]}"')
            for gateway in ("gwa", "gwb"):
                text = text.replace(f"[gateways.{gateway}]\n", f"[gateways.{gateway}.ima]\n{rules}[gateways.{gateway}]\n")
            return text

        agreement = self.agree(judged_by_ima, version)
        self.on_both(lambda gateway: self.countersign(gateway, "policy", "apply", agreement))
        self.on_both(lambda gateway: self.await_peer(gateway, lambda peer: peer["policy"]["version"] == version and peer["standing"] == "granted", 90))
        self.await_flow()

        self.gwa.run(["sh", "-c", "cp /usr/bin/true /usr/local/bin/lately && lately"])
        self.gwa.run(["countersign", "attest", "gwb"], check=False)
        self.await_peer(self.gwb, lambda peer: "ima_file" in reasons_of(peer))
        self.assert_silence(self.hosta, HOST_B[4])
        self.assertIn("/usr/local/bin/lately", self.gwb.run(["countersign", "explain", "gwa"], check=False).out)

        late = self.directory / "late"
        late.mkdir()
        self.gwa.pull(["/usr/local/bin/lately"], late)
        self.accept(self.gwb, [self.signed(key, "late", self.countersign_digest_list("make", "--name", "late", "--list-version", "1",
                                                                                      "--as", "/usr/local/bin", late))])
        self.await_standing("granted", 60)
        self.await_flow()

    def test_k_a_tunnel_between_the_gateways_themselves(self):
        """The next version covers whatever one gateway sends to the other: attestation passes beside it, before there is an SA and after."""
        now = self.peer(self.gwa)["policy"]
        version = now["version"] + 1
        self.on_both(self.draw_next)
        terms = {**FIRST, "version": version}
        agreement = self.agree(lambda text: changed(text, terms).replace(f"version = {version}", f'version = {version}\npredecessor = "{now["value"]}"'),
                               version, f"{HERE}/next/swanctl.conf")
        self.on_both(lambda gateway: self.countersign(gateway, "policy", "apply", agreement))
        # The kernel does not follow yet: nothing passes, and that is no drift.
        self.on_both(lambda gateway: self.await_status(gateway, lambda status: any(one["awaited"] for one in status["kernel"]["drift"])))
        self.assertIn("NOT YET AS AGREED policy-missing gwb/host", self.gwa.run(["countersign", "status"], check=False).out)
        self.assert_silence(self.hosta, HOST_B[4])
        drifts = [self.gwa.run(["countersign", "log"]).out.count(" drift ")]
        self.on_both(lambda gateway: gateway.run(["sh", "-c", f"cp {HERE}/next/swanctl.conf /etc/swanctl && swanctl --load-all"]))
        self.await_standing("granted", 90)
        self.await_flow()
        drifts.append(self.gwa.run(["countersign", "log"]).out.count(" drift "))
        self.assertEqual(drifts[0], drifts[1])

        # The first one only brings the SA up.
        deadline = time.monotonic() + 30
        while self.ping(self.gwa, WAN[4]["b"], count=1, wait=1) == 0:
            self.assertLess(time.monotonic(), deadline, "no ping is answered from gateway to gateway")
        with self.wire("wana") as seen:
            self.assertEqual(self.ping(self.gwa, WAN[4]["b"], count=10), 10)
            runs = self.peer(self.gwb)["granted_runs"]
            self.countersign(self.gwa, "attest", "gwb")
            self.await_peer(self.gwb, lambda peer: peer["granted_runs"] > runs)
        # What is no attestation, and no IKE, is in the tunnel.
        kinds = {packet.proto for packet in seen}
        self.assertEqual(kinds - {UDP}, {ESP, TCP})
        self.assertGreaterEqual(sum(packet.proto == ESP for packet in seen), 20)

        # What one says last does not reach the other any more, and waits in the kernel, beside IPsec and nobody's.
        self.gwa.run(["systemctl", "stop", "keymsd"])
        self.gwb.run(["systemctl", "restart", "keymsd"])
        self.gwa.run(["systemctl", "start", "keymsd"])
        self.await_standing("granted", 120)
        self.assertEqual(self.gwb.run(["countersign", "log"]).out.count("socket-bypass"), 0)

    def test_l_a_clock_set_ten_years_off_closes_and_is_told(self):
        for years in (10, -10):
            with self.subTest(years=years):
                self.gwa.run(["sh", "-c", f"cat /proc/uptime > /run/then; date +%s >> /run/then; date -s '{years:+} years'"])
                try:
                    self.on_both(lambda gateway: self.await_peer(gateway, lambda peer: peer["standing"] == "closed"))
                    self.assert_silence(self.hosta, HOST_B[4])
                    told = self.gwa.run(["countersign", "status"], check=False).out
                    self.assertIn("FAULT clock" if years < 0 else "closed", told)
                finally:
                    self.gwa.run(["sh", "-c", CLOCK_BACK])
                self.assertIn("the clock jumped", self.gwa.run(["countersign", "events"]).out)
                self.await_standing("granted", 90)
                # As the status says: the kernel has asked for an SA in vain, by credentials that were not valid then, and asks again in minutes only.
                self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "30"])
                self.await_flow()

    @staticmethod
    def draw_next(gateway):
        ours, theirs = (WAN[4][one] for one in (gateway.name[-1], peer_of(gateway)[-1]))
        gateway.run(["sh", "-c", f"mkdir -p {HERE}/next && sed 's|net-guard {{|{host_tunnel(ours, theirs)}&|' /etc/swanctl/swanctl.conf > {HERE}/next/swanctl.conf"])

    @staticmethod
    def usr_list(gateway):
        """What lies there when nothing is wrong yet."""
        return gateway.run(["countersign", "digest-list", "make", "--name", gateway.name, "--list-version", "1", "--as", "/usr", "/usr"], limit=180).out

    @classmethod
    def countersign_digest_list(cls, *arguments):
        return run([cls.countersign_here(), "digest-list", *map(str, arguments)])

    @classmethod
    def signed(cls, key, name, text):
        path = cls.directory / f"{name}.list"
        path.write_text(text)
        path.write_text(cls.countersign_digest_list("sign", "--key", key, path))
        return path

    @staticmethod
    def accept(gateway, lists):
        gateway.run(["mkdir", "-p", "/etc/countersign/digest-lists"])
        gateway.push(lists, "/etc/countersign/digest-lists")
        gateway.run(["systemctl", "reload", "keymsd"])


def reasons_of(peer):
    return {reason["code"] for reason in peer["reasons"]}


if __name__ == "__main__":
    labtest.main()
