// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect`.
#include <iostream>
#include <memory>
#include <string>

#include "tools/inspect/bootlog.h"
#include "tools/inspect/cert.h"
#include "tools/inspect/ima.h"
#include "tools/inspect/quote.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

constexpr const char* pcrs_help =
    "Values of PCRs to compare with: a text file of lines as sha256:0=HEX";

CLI::Option* add_file(CLI::App& command, const std::string& name, std::string& file,
                      const std::string& help) {
  return command.add_option(name, file, help)->type_name("FILE");
}

void add_json(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Report in JSON instead of text");
}

void add_bootlog(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<inspect::BootlogOptions>();
  CLI::App& command = *family.add_subcommand(
      "bootlog", "Replay a boot log: what firmware and boot loader measured before Linux ran");
  add_file(command, "FILE", options->file, "The log as the firmware wrote it")->required();
  add_file(command, "--pcrs", options->pcrs, std::string(pcrs_help) + " (only replayed)");
  add_json(command, options->json);
  command.footer(
      "While a machine starts, each program hashes the next one before it runs it, writes that "
      "into this log and adds the hash to a register (PCR) of the TPM. Nobody protects the log; "
      "but the registers can only be added to, so a log that replays to their values is true. "
      "With --pcrs, from `tpm2_pcrread` or better from a quote, each PCR is told that does not "
      "replay, and from which event on. Linux keeps the log, for root to read, in "
      "/sys/kernel/security/tpm0/binary_bios_measurements.\n"
      "Exit status: 0 the log can be replayed, to the values that were given, 1 a value differs, "
      "2 the command line is wrong, 3 a file could not be read or is not what it should be.\n"
      "  countersign inspect bootlog binary_bios_measurements --pcrs pcrs");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(inspect::inspect_bootlog(*options, std::cout, std::cerr));
  });
}

void add_ima(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<inspect::ImaOptions>();
  CLI::App& command = *family.add_subcommand(
      "ima", "Replay an IMA list: the files that Linux measured before it used them");
  add_file(command, "FILE", options->file, "The list, in its text or its binary form")->required();
  add_file(command, "--pcrs", options->pcrs, std::string(pcrs_help) + " (only replayed)");
  add_json(command, options->json);
  command.footer(
      "Linux's integrity measurement (IMA) hashes files before they are run or read, as its policy "
      "tells, keeps a list and adds each entry to PCR 10 of the TPM. With --pcrs it is told "
      "whether the list explains that value; it may go on after it, as it is read later. A "
      "violation is a file that was written while it was measured. Linux keeps the list, for root "
      "to read, in /sys/kernel/security/ima/ascii_runtime_measurements and "
      "binary_runtime_measurements.\n"
      "Exit status: 0 the list can be replayed, to the values that were given, 1 a value differs "
      "or the list contradicts itself, 2 the command line is wrong, 3 a file could not be read or "
      "is not what it should be.\n"
      "  countersign inspect ima ascii_runtime_measurements --pcrs pcrs");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(inspect::inspect_ima(*options, std::cout, std::cerr));
  });
}

void add_cert(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<inspect::CertOptions>();
  CLI::App& command = *family.add_subcommand(
      "cert", "Read the certificates of a TPM and of its machine, and who vouches for them");
  command
      .add_option("FILE", options->files,
                  "Certificates, in DER or PEM or as a TPM stores them; of authorities too")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--roots", options->roots,
                  "The vendors' root certificates that are trusted (no chain is checked)")
      ->type_name("DIRECTORY");
  add_json(command, options->json);
  command.footer(
      "A TPM's maker certifies its endorsement key (EK), which proves that the TPM is a real one; "
      "an attestation key (AK) signs quotes; the machine's maker ties TPM and machine together in "
      "a platform certificate, which must name the EK certificate among the files. Each is told "
      "with its fields, the chain up to a root, and a verdict.\n"
      "Exit status: 0 nothing fails, 1 a certificate is refused, 2 the command line is wrong, 3 a "
      "file could not be read or is not what it should be.\n"
      "  countersign inspect cert ek.der platform.der --roots vendor-roots");
  when_chosen(command, chosen, [&chosen, options] {
    return static_cast<int>(inspect::inspect_cert(*options, chosen.clock, std::cout, std::cerr));
  });
}

void add_quote(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<inspect::QuoteOptions>();
  CLI::App& command =
      *family.add_subcommand("quote", "Check a quote: what a TPM signed about its machine's state");
  add_file(command, "--attest", options->attest, "What the TPM signed (TPMS_ATTEST)")->required();
  add_file(command, "--signature", options->signature,
           "The signature: as the TPM gives it (TPMT_SIGNATURE), or as OpenSSL has it")
      ->required();
  add_file(command, "--key", options->key,
           "Public key of the one who should have signed: PEM, or as the TPM gives it "
           "(TPMT_PUBLIC)")
      ->required();
  command
      .add_option("--nonce", options->nonce,
                  "What the quote must answer, so that it is no old one (not checked)")
      ->type_name("HEX");
  add_file(command, "--pcrs", options->pcrs, std::string(pcrs_help) + " (not compared)");
  command
      .add_option("--selection", options->selection,
                  "The PCRs it must be about, as sha256:0,7+sha1:1 (not checked)")
      ->type_name("PCRS");
  add_json(command, options->json);
  command.footer(
      "A TPM signs with a key that never leaves it which values its registers (PCRs) have: these "
      "say what the machine started, from the firmware on. Each check is told with its verdict; "
      "what was not asked for is told as not checked. That the key itself is a TPM's is for "
      "`countersign inspect cert`.\n"
      "Exit status: 0 nothing fails, 1 a check fails, 2 the command line is wrong, 3 a file could "
      "not be read or is not what it should be.\n"
      "  countersign inspect quote --attest quote --signature sig --key ak.pem");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(inspect::inspect_quote(*options, std::cout, std::cerr));
  });
}

}  // namespace

void add_inspect(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand(
      "inspect", "Check evidence that a TPM and its machine gave, anywhere and offline");
  family.require_subcommand(1);
  family.footer(
      "These need neither a TPM nor privileges, only files, which may come from another machine. "
      "A FILE that is `-` is standard input. With --json one object is printed, with "
      "`schema_version` (1); one that could not be read to its end has `error`, and `complete` is "
      "false.");
  add_bootlog(family, chosen);
  add_ima(family, chosen);
  add_quote(family, chosen);
  add_cert(family, chosen);
}

}  // namespace cs::verbs
