# SPDX-License-Identifier: GPL-3.0-or-later
"""A software TPM per guest, manufactured with certificates of the lab's own CA."""

import os

from .proc import LabError, need, pids_naming, run

BANKS = "sha1,sha256"


class LabCa:
    """swtpm_localca makes the CA's keys and certificates at the first use."""

    def __init__(self, directory):
        self.directory = directory
        self.config = directory / "swtpm_setup.conf"

    def prepare(self):
        self.directory.mkdir()
        (self.directory / "localca.conf").write_text(
            f"statedir = {self.directory}\n"
            f"signingkey = {self.directory}/signkey.pem\n"
            f"issuercert = {self.directory}/issuercert.pem\n"
            f"certserial = {self.directory}/certserial\n")
        (self.directory / "localca.options").write_text(
            "--platform-manufacturer Countersign\n--platform-version 1.0\n--platform-model LabGateway\n")
        self.config.write_text(
            "create_certs_tool = /usr/bin/swtpm_localca\n"
            f"create_certs_tool_config = {self.directory}/localca.conf\n"
            f"create_certs_tool_options = {self.directory}/localca.options\n")

    def root_certificate(self):
        return self.directory / "swtpm-localca-rootca-cert.pem"

    def issuer_certificate(self):
        return self.directory / "issuercert.pem"


def manufacture(ca, state, name):
    need("swtpm", "swtpm_setup")
    state.mkdir()
    run(["swtpm_setup", "--tpm2", "--tpmstate", str(state), "--config", str(ca.config), "--vmid", name,
         "--create-ek-cert", "--create-platform-cert", "--lock-nvram", "--pcr-banks", BANKS], timeout=60,
        env=os.environ | {"TMPDIR": str(state)})  # killed, it leaves its scratch directory; there it goes with the lab
    if not any(state.glob("tpm2-*.permall")):
        raise LabError(f"swtpm_setup left no TPM state in {state}")


def start(state, socket, log):
    """Ends by itself when QEMU closes the connection."""
    socket.unlink(missing_ok=True)
    run(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={socket}",
         "--log", f"file={log},level=1", "--daemon", "--terminate"])


def running(state):
    return bool(pids_naming(f"dir={state}\0"))
