// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/criterion.h"

namespace cs::keyms {

namespace {

using enum Criterion;
using enum Severity;

constexpr std::string_view wrong_key =
    "compare the fingerprints of `countersign init` on PEER and `countersign policy show`; if they "
    "are those of another machine, its operator has to say why";
constexpr std::string_view ask_again =
    "try `countersign attest PEER`; if it stays so, look at "
    "`journalctl -u keymsd` on PEER";
constexpr std::string_view tampered =
    "PEER, or who carries its messages, shows something that its TPM did not say: have its "
    "operator "
    "look for an intruder before anything else";
constexpr std::string_view reboot =
    "PEER's operator reboots it, and finds out from `countersign log` there what came in between";
constexpr std::string_view clocks =
    "compare the clocks of both gateways with `timedatectl`; keymsd on PEER makes a new one itself";
constexpr std::string_view boot_changed =
    "if firmware, boot loader or kernel of PEER were updated, agree a policy with its new values: "
    "`countersign policy new`; else have its operator look for an intruder";
constexpr std::string_view drifted =
    "PEER's operator puts right what `countersign status` there says, or both agree a new policy";

constexpr std::array<CriterionText, criterion_count> table{{
    {ne_id, "ne_id", refuse, "It gives itself another name than the policy does.",
     "PEER's operator corrects the NeID with `countersign init`, or both agree a new policy"},
    {ak_name, "ak_name", refuse, "Its attestation key is not the one that the policy names.",
     wrong_key},
    {ak_attributes, "ak_attributes", refuse, "Its attestation key could sign what no TPM has said.",
     "PEER's operator makes a new key with `countersign init`, and both agree a new policy"},
    {tpm_vendor, "tpm_vendor", refuse, "No vendor we trust vouches for its TPM.",
     "put the vendor's certificates into /etc/countersign/vendor-roots, or agree a policy with "
     "proof = \"optional\""},
    {tpm_activation, "tpm_activation", refuse,
     "It has not shown that its attestation key is in the TPM that the vendor vouches for.",
     ask_again},
    {tpm_unproven, "tpm_unproven", note,
     "TPM unproven: nothing shows that its attestation key is in a TPM.",
     "nothing, if the policy means it; else agree one with proof = \"required\""},
    {endpoint_statement, "endpoint_statement", refuse,
     "What it says of its endpoint certificate cannot be read, or is of another gateway.",
     ask_again},
    {endpoint_signature, "endpoint_signature", refuse,
     "Its attestation key has not signed what it says of its endpoint certificate.", tampered},
    {endpoint_validity, "endpoint_validity", refuse,
     "Its endpoint certificate is not valid now, or for longer than the policy allows.", clocks},
    {endpoint_certificate, "endpoint_certificate", refuse,
     "The channel has another certificate than the one its attestation key vouches for.", tampered},
    {registers, "registers", refuse,
     "Registers of the policy can be reset, or say nothing of what happened.",
     "agree a policy with other registers: the static one 8 to 15, and not 16 or 23"},
    {quote_form, "quote_form", refuse, "What it shows as a quote is none that a TPM makes.",
     tampered},
    {quote_signature, "quote_signature", refuse, "Its attestation key has not signed the quote.",
     tampered},
    {quote_freshness, "quote_freshness", refuse,
     "The quote is not of this session: an old one, another gateway's, or what it came with was "
     "exchanged.",
     tampered},
    {quote_selection, "quote_selection", refuse, "The quote is not of the registers asked for.",
     "both gateways have to have the same version of keymsd; then as for a policy that differs"},
    {quote_values, "quote_values", refuse, "The register values shown are not those quoted.",
     tampered},
    {quote_clock, "quote_clock", refuse, "The TPM's clock has gone back.",
     "if PEER's TPM was cleared or exchanged, `countersign recover` there; else it is not that "
     "TPM"},
    {tpm_firmware, "tpm_firmware", note, "The TPM has other firmware than at the last time.",
     "nothing, if PEER's operator has updated it"},
    {event_index, "event_index", refuse,
     "The NV index of its event register is not the one agreed, or could be rewritten.",
     "PEER's operator has it made anew with `countersign recover`"},
    {event_index_certified, "event_index_certified", refuse,
     "Its attestation key has not certified now what the event register holds.", tampered},
    {reset_count, "reset_count", refuse, "The TPM has started fewer times than was seen before.",
     "if PEER's TPM was cleared or exchanged, `countersign recover` there; else it is not that "
     "TPM"},
    {restart_count, "restart_count", note,
     "It was suspended, and has resumed, since the last time.",
     "nothing, if PEER is meant to sleep"},
    {clock_skew, "clock_skew", note, "Its clock and ours are far apart.",
     "compare both with `timedatectl`: certificates and keys end by them"},
    {boot_log, "boot_log", refuse,
     "The log of firmware and boot loader does not lead to the registers' values.", reboot},
    {static_log, "static_log", refuse,
     "The log of the static register does not lead to the register's value.", reboot},
    {static_log_continued, "static_log_continued", refuse,
     "The log of the static register takes back what it said in this boot.", tampered},
    {event_log, "event_log", refuse,
     "The log of the event register does not lead to the register's value.", reboot},
    {event_log_continued, "event_log_continued", refuse,
     "The log of the event register takes back what it said in this boot.", tampered},
    {logs_agree, "logs_agree", refuse, "Its two logs tell of different drift.", reboot},
    {core_properties, "core_properties", refuse, "The agreed policy is not in force there.",
     "PEER's operator applies it: `countersign policy apply`"},
    {core_properties_others, "core_properties_others", note,
     "Policies that are not known here are in force there, too: of other pairs, or newer.",
     "nothing, if PEER has other peers; `countersign policy show` there lists them"},
    {configuration, "configuration", refuse, "It does not tell how its daemons are configured.",
     reboot},
    {configuration_changed, "configuration_changed", note,
     "Its daemons are configured otherwise than at the last time.",
     "ask PEER's operator what was changed in keymsd.toml"},
    {certificate_logged, "certificate_logged", refuse,
     "Its log does not say that the endpoint certificate is valid.", ask_again},
    {certificate_revoked, "certificate_revoked", refuse,
     "Its log says that the endpoint certificate was revoked.",
     "keymsd on PEER makes a new one; if it does not, look at `countersign certs` there"},
    {drift_open, "drift_open", refuse,
     "Its kernel does what the policy does not say, and it was not put right.", drifted},
    {drift_unacknowledged, "drift_unacknowledged", refuse,
     "Its kernel did what the policy does not say. It was put right, and nobody here has said that "
     "this will do.",
     "read it above, ask PEER's operator how it came about, then `countersign acknowledge PEER`"},
    {drift_until_reboot, "drift_until_reboot", refuse,
     "Its kernel did what the policy does not say, after which the policy demands a reboot.",
     "PEER's operator reboots it"},
    {spd_measured, "spd_measured", refuse,
     "The policies in its kernel are not those last measured into the log.", drifted},
    {boot_value, "boot_value", refuse,
     "A boot register has a value that the policy does not accept.", boot_changed},
    {digest_list, "digest_list", refuse,
     "No list of accepted files is there that a key of the policy has signed.",
     "put one into /etc/countersign/digest-lists here: `countersign digest-list check FILE` shows "
     "who signed it"},
    {ima_part, "ima_part", refuse,
     "It has sent another part of the kernel's list of measured files than the one wanted.",
     ask_again},
    {ima_log, "ima_log", refuse,
     "The kernel's list of measured files does not lead to the value of PCR 10.", reboot},
    {ima_boot_aggregate, "ima_boot_aggregate", refuse,
     "The list of measured files was begun in another boot, or with other registers.",
     "PEER's operator boots with ima_hash=sha256; if it does, have him look for an intruder"},
    {ima_violation, "ima_violation", refuse,
     "A file was written while the kernel measured it: what was in it is not known.",
     "PEER's operator finds out who wrote it and reboots; or agree ima.accept_violations"},
    {ima_file, "ima_file", refuse, "A file was used there that no signed list accepts.",
     "if it belongs there, add it: `countersign digest-list make` and `sign`; else PEER's operator "
     "removes it and reboots"},
    {session_key, "session_key", refuse, "Its session key is not of the kind that the policy says.",
     "both gateways have to run the same policy: `countersign policy show`"},
    {session_key_lifetime, "session_key_lifetime", refuse,
     "Its session key has ended, or would live for longer than the policy allows.", clocks},
    {session_key_resident, "session_key_resident", refuse,
     "Nothing shows that its session key is in the TPM and bound to the registers as they are.",
     tampered},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (static_cast<std::size_t>(table.at(i).criterion) != i) return false;
  }
  return true;
}
static_assert(in_order());

}  // namespace

const std::array<CriterionText, criterion_count>& criteria() noexcept {
  return table;
}

const CriterionText& text_of(Criterion criterion) noexcept {
  return table.at(static_cast<std::size_t>(criterion));
}

}  // namespace cs::keyms
