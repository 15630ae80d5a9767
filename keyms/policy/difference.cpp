// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/difference.h"

#include "base/fingerprint.h"
#include "base/hex.h"
#include "keyms/policy/difference_parts.h"
#include "keyms/policy/encode.h"
#include "keyms/policy/words.h"

namespace cs::keyms {
namespace {

using enum Effect;

std::string yes_or_no(bool value) {
  return value ? "yes" : "no";
}

std::string seconds_text(const std::chrono::seconds& duration) {
  return text(duration);
}

// To be read aloud, and whole: what people compare is only its beginning.
std::string key_text(ByteView hash) {
  return fingerprint_text(hash) + " (" + hex_encode(hash) + ")";
}

std::string identity(const Gateway& gateway) {
  if (gateway.authority) return "enrolled by the authority " + key_text(*gateway.authority);
  // The digest of a Name stands behind its algorithm.
  const ByteView name =
      gateway.attestation_key ? ByteView(gateway.attestation_key->bytes) : ByteView();
  if (name.size() < 2 + fingerprint_size) return "nobody";
  return "the attestation key " + key_text(name.subspan(2));
}

std::string count(std::size_t number, const std::string& what) {
  return number == 1 ? "one " + what : std::to_string(number) + " " + what + "s";
}

void compare_boot_rule(const BootRule& before, const BootRule& after, PartChanges& out) {
  const std::string pcr = "PCR " + std::to_string(after.pcr);
  if (before.accepted.empty() != after.accepted.empty()) {
    return after.accepted.empty() ? out.add(weaker, pcr + " accepts any value")
                                  : out.add(stronger, pcr + " accepts no longer any value, but " +
                                                          count(after.accepted.size(), "value"));
  }
  std::size_t added = 0;
  std::size_t gone = 0;
  out.members<tpm::Digest>(
      before.accepted, after.accepted,
      [&](const tpm::Digest& /*value*/, bool is_new) { ++(is_new ? added : gone); });
  if (added != 0) out.add(weaker, pcr + " accepts " + count(added, "value") + " more");
  if (gone != 0) out.add(stronger, pcr + " accepts " + count(gone, "value") + " less");
}

void compare_boot(const Gateway& before, const Gateway& after, PartChanges& out) {
  for (std::uint32_t pcr = 0; pcr < tpm::pcr_count; ++pcr) {
    const auto old = std::ranges::find(before.boot, pcr, &BootRule::pcr);
    const auto now = std::ranges::find(after.boot, pcr, &BootRule::pcr);
    const bool was = old != before.boot.end();
    const bool is = now != after.boot.end();
    const std::string name = "PCR " + std::to_string(pcr);
    if (was && is) compare_boot_rule(*old, *now, out);
    if (was && !is) out.add(weaker, name + " is quoted no longer");
    if (!was && is) {
      const bool any = now->accepted.empty();
      out.add(stronger, name + " is quoted, and accepts " +
                            (any ? "any value" : count(now->accepted.size(), "value")));
    }
  }
}

void compare_ima(const Gateway& before, const Gateway& after, PartChanges& out) {
  if (!before.ima && !after.ima) return;
  if (!before.ima) return out.add(stronger, "IMA is asked for: which programs run is judged");
  if (!after.ima) return out.add(weaker, "IMA is asked for no longer: any program may run");
  out.members<Hash>(before.ima->list_keys, after.ima->list_keys, [&](const Hash& key, bool added) {
    const std::string name = "the key " + key_text(key);
    added ? out.add(weaker, name + " may sign lists of accepted files")
          : out.add(stronger, name + " may no longer sign lists of accepted files");
  });
  out.members<std::string>(
      before.ima->ignored, after.ima->ignored, [&](const std::string& path, bool added) {
        added ? out.add(weaker, "files below " + path + " are judged no longer")
              : out.add(stronger, "files below " + path + " are judged");
      });
  out.grows<bool>("IMA's violations are accepted:", before.ima->accept_violations,
                  after.ima->accept_violations, yes_or_no, weaker, stronger);
}

void compare_gateway(const Gateway& before, const Gateway& after, PartChanges out) {
  out.becomes(other, "its NeID", before.ne_id, after.ne_id);
  out.becomes(other, "who it is:", identity(before), identity(after));
  out.grows<Proof>(
      "proof of its TPM:", before.proof, after.proof,
      [](const Proof& proof) { return word_for(proof_words, proof); }, weaker, stronger);
  out.members<net::Address>(
      before.addresses, after.addresses, [&](const net::Address& address, bool added) {
        added ? out.add(wider, "it is at " + address.text() + " too")
              : out.add(narrower, "it is at " + address.text() + " no longer");
      });
  const auto listens = [](const Gateway& gateway) {
    return gateway.keymsd ? text(*gateway.keymsd) : "nowhere";
  };
  out.becomes(other, "its keymsd listens at", listens(before), listens(after));
  out.becomes(other, "its static register is PCR", std::to_string(before.static_pcr),
              std::to_string(after.static_pcr));
  out.becomes(other, "its event register", text(before.event_register), text(after.event_register));
  out.grows<bool>("registers that root can reset:", before.resettable, after.resettable, yes_or_no,
                  weaker, stronger);
  compare_boot(before, after, out);
  compare_ima(before, after, out);
}

void compare_signing(const Signing& before, const Signing& after, PartChanges out) {
  out.grows<SigningMode>(
      "packets are signed by the key of", before.mode, after.mode,
      [](const SigningMode& mode) { return mode == SigningMode::tpm ? "the TPM" : "a session"; },
      stronger, weaker);
  const std::size_t nodes_before = node_size(before.suite);
  const std::size_t nodes_after = node_size(after.suite);
  out.becomes(nodes_before < nodes_after   ? stronger
              : nodes_before > nodes_after ? weaker
                                           : other,
              "suite", word_for(suite_words, before.suite), word_for(suite_words, after.suite));
  out.grows<Mode>(
      "packets that come in:", before.inbound, after.inbound,
      [](const Mode& mode) { return word_for(inbound_words, mode); }, stronger, weaker);
  out.grows<std::chrono::seconds>("the lifetime of keys", before.key_lifetime, after.key_lifetime,
                                  seconds_text, weaker, stronger);
  out.grows<std::chrono::seconds>("the overlap of keys", before.overlap, after.overlap,
                                  seconds_text, weaker, stronger);
}

void compare_attestation(const Attestation& before, const Attestation& after, PartChanges out) {
  using std::chrono::seconds;
  out.grows<seconds>("the interval", before.interval, after.interval, seconds_text, weaker,
                     stronger);
  out.grows<seconds>("the lifetime of certificates", before.certificate_lifetime,
                     after.certificate_lifetime, seconds_text, weaker, stronger);
  out.grows<seconds>("silence that counts as a denial:", before.silence, after.silence,
                     seconds_text, weaker, stronger);
  out.grows<AfterDrift>(
      "after drift a gateway has to be", before.after_drift, after.after_drift,
      [](const AfterDrift& after_drift) { return word_for(after_drift_words, after_drift); },
      stronger, weaker);
  out.grows<OnFailure>(
      "on failure:", before.on_failure, after.on_failure,
      [](const OnFailure& on_failure) { return word_for(on_failure_words, on_failure); }, stronger,
      weaker);
  // For ever is the longest grace; with cut there is none.
  const auto length = [](const Attestation& one) {
    return one.grace == seconds(0) && one.on_failure != OnFailure::cut ? seconds::max() : one.grace;
  };
  out.grows<seconds>(
      "grace", length(before), length(after),
      [](const seconds& grace) { return grace == seconds::max() ? "for ever" : text(grace); },
      weaker, stronger);
}

void compare_head(const CorePolicy& before, const CorePolicy& after, PartChanges out) {
  out.becomes(other, "the name", before.name, after.name);
  out.becomes(other, "the version", std::to_string(before.version), std::to_string(after.version));
  const auto encoded = encode(before);
  const bool is_next = after.version == before.version + 1;
  if (is_next && encoded.ok() && after.predecessor != core_properties_value(*encoded)) {
    out.add(other, "the predecessor is not the policy it is compared with, whose value is " +
                       hex_encode(core_properties_value(*encoded)));
  }
}

}  // namespace

std::string_view text(Effect effect) noexcept {
  constexpr std::array<std::string_view, 5> names{"wider", "narrower", "weaker", "stronger",
                                                  "other"};
  return names.at(static_cast<std::size_t>(effect));
}

std::vector<Change> changes(const CorePolicy& before, const CorePolicy& after) {
  std::vector<Change> out;
  compare_head(before, after, {"", out});
  NeIds names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    names.at(i) = after.gateways.at(i).ne_id;
    compare_gateway(before.gateways.at(i), after.gateways.at(i), {names.at(i), out});
  }
  compare_tunnels(before, after, names, out);
  compare_signing(before.signing, after.signing, {"signing", out});
  compare_attestation(before.attestation, after.attestation, {"attestation", out});
  return out;
}

}  // namespace cs::keyms
