// SPDX-License-Identifier: GPL-3.0-or-later
// What a machine proves itself with: TPM, boot log, IMA.
#include <algorithm>
#include <optional>

#include "tools/doctor/checks.h"
#include "tools/doctor/words.h"

namespace cs::doctor {

namespace {

constexpr std::string_view security = "/sys/kernel/security";
constexpr std::string_view measure =
    "put ima_policy=tcb ima_hash=sha256 into GRUB_CMDLINE_LINUX of /etc/default/grub, then "
    "update-grub and boot";

// No TPM, or one that does not answer, is said once, by the first check.
Finding needs_tpm(const Error& error) {
  return {Verdict::unchecked,
          error.kind() == ErrorKind::denied ? error.message() : "no TPM answers",
          {},
          error.kind() == ErrorKind::denied ? "ask again as root" : "mend what the check tpm says"};
}

// "253:65536" for mknod.
std::optional<std::string> device_numbers(std::string text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || text.find_first_not_of("0123456789:") != std::string::npos) {
    return std::nullopt;
  }
  text[colon] = ' ';
  return text;
}

// The log below securityfs, or why it cannot be read.
Result<std::string> read_log(const Machine& machine, const std::string& name) {
  constexpr std::size_t beginning = 4096;
  return machine.head(std::string(security) + name, beginning);
}

Finding without_log(const Machine& machine, const Error& error, std::string reason,
                    std::string advice) {
  if (error.kind() == ErrorKind::denied) return unchecked(error);
  if (machine.list(security).empty()) {
    return {Verdict::bad, "securityfs is not mounted",
            "mount -t securityfs securityfs " + std::string(security)};
  }
  return {Verdict::bad, std::move(reason), {}, std::move(advice)};
}

}  // namespace

Finding look_at_tpm(const Machine& machine) {
  if (!machine.has("/dev/tpmrm0")) {
    if (machine.line("/sys/class/tpm/tpm0/tpm_version_major") == "1") {
      return {Verdict::bad,
              "the TPM is of version 1.2",
              {},
              "have its firmware replaced by one of version 2.0, or use another machine"};
    }
    if (const auto numbers = device_numbers(machine.line("/sys/class/tpmrm/tpmrm0/dev"))) {
      // udev has to see it, too: the group that may open it is its rules'.
      return {Verdict::bad, "the kernel has a TPM, and there is no /dev/tpmrm0 for it",
              "mknod -m 660 /dev/tpmrm0 c " + *numbers +
                  " && udevadm trigger --settle --action=add --sysname-match=tpmrm0"};
    }
    return {Verdict::bad, "there is no TPM 2.0: no /dev/tpmrm0", "modprobe -a tpm_crb tpm_tis",
            "or switch it on in the firmware: TPM, PTT, fTPM"};
  }
  const auto status = machine.read_tpm();
  if (!status.ok()) return refused(status.error());
  return good(status->capabilities.manufacturer + " " + status->capabilities.vendor);
}

Finding look_at_pcr_bank(const Machine& machine) {
  const auto status = machine.read_tpm();
  if (!status.ok()) return needs_tpm(status.error());
  if (status->capabilities.has_bank(tpm::HashAlgorithm::sha256))
    return good("the TPM keeps SHA-256 registers");
  return {Verdict::bad, "the TPM keeps no SHA-256 registers", "tpm2_pcrallocate sha256:all",
          "and boot"};
}

Finding look_at_lockout(const Machine& machine) {
  const auto status = machine.read_tpm();
  if (!status.ok()) return needs_tpm(status.error());
  if (!status->lockout.locked) return good(status->lockout.text());
  return {Verdict::bad, "the TPM is locked after wrong passwords: " + status->lockout.text(),
          "tpm2_dictionarylockout --clear-lockout",
          "it asks for the lockout password, if there is one (--auth); else wait"};
}

Finding look_at_endorsement(const Machine& machine) {
  const auto status = machine.read_tpm();
  if (!status.ok()) return needs_tpm(status.error());
  const std::size_t count = status->endorsement.certificates.size();
  if (count != 0)
    return good(std::to_string(count) + " in the TPM; countersign tpm status judges them");
  return {Verdict::warning,
          "the TPM holds no endorsement certificate: only who enrols it by hand can vouch for it",
          {},
          "get it from its maker's web service: tpm2_getekcertificate"};
}

Finding look_at_boot_log(const Machine& machine) {
  const auto log = read_log(machine, "/tpm0/binary_bios_measurements");
  if (log.ok() && !log->empty()) return good("the firmware left one");
  const Error nothing(ErrorKind::not_found, "the boot log is empty");
  return without_log(
      machine, log.ok() ? nothing : log.error(),
      "the firmware left no boot event log: nobody can tell what the boot registers stand for",
      "boot by UEFI with the TPM switched on");
}

Finding look_at_ima(const Machine& machine) {
  const auto list = read_log(machine, "/ima/ascii_runtime_measurements");
  if (!list.ok()) {
    return without_log(machine, list.error(),
                       "the kernel has no IMA: nobody can tell what software runs",
                       "boot a kernel with CONFIG_IMA, as Debian's");
  }
  // The first entry is always there, and stands for the boot.
  if (std::ranges::count(*list, '\n') < 2) {
    return {Verdict::bad, "IMA has no policy: it measures no file", {}, std::string(measure)};
  }
  if (list->find(" sha256:") == std::string::npos) {
    return {Verdict::warning, "IMA does not measure with SHA-256", {}, std::string(measure)};
  }
  return good("it measures, with SHA-256");
}

}  // namespace cs::doctor
