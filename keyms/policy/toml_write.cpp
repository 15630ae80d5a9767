// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "base/fingerprint.h"
#include "base/hex.h"
#include "keyms/policy/toml.h"
#include "keyms/policy/words.h"

namespace cs::keyms {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    // A policy that does not validate may have any bytes in a name.
    if (code < 0x20 || code >= 0x7f) {
      out += "\\u00" + hex_encode({&code, 1});
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// A name in a key: bare where TOML lets it be.
std::string key(std::string_view name) {
  const bool bare = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  return bare ? std::string(name) : quoted(name);
}

class Writer {
 public:
  void comment(std::string_view text) { text_ += "# " + std::string(text) + "\n"; }
  void section(const std::string& name) { text_ += "\n[" + name + "]\n"; }
  // `why` is a comment behind it.
  void raw(const std::string& field, const std::string& value, std::string_view why = {}) {
    text_ += field + " = " + value;
    if (!why.empty()) text_ += "  # " + std::string(why);
    text_ += "\n";
  }
  void text(const std::string& field, const std::string& value, std::string_view why = {}) {
    raw(field, quoted(value), why);
  }
  void number(const std::string& field, std::uint64_t value, std::string_view why = {}) {
    raw(field, std::to_string(value), why);
  }
  void flag(const std::string& field, bool value, std::string_view why = {}) {
    raw(field, value ? "true" : "false", why);
  }
  // One in each line where there are several.
  template <class T, class Text>
  void list(const std::string& field, const std::vector<T>& values, Text words) {
    std::string out = "[";
    for (const T& value : values) {
      out +=
          (values.size() > 1 ? "\n  " : "") + quoted(words(value)) + (values.size() > 1 ? "," : "");
    }
    raw(field, out + (values.size() > 1 ? "\n]" : "]"));
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string same(const std::string& text) {
  return text;
}

void write_identity(Writer& out, const Gateway& gateway) {
  if (gateway.attestation_key) {
    const ByteView name = gateway.attestation_key->bytes;
    // The digest of a Name stands behind its algorithm.
    if (name.size() >= 2 + fingerprint_size) {
      out.comment("Read aloud: " + fingerprint_text(name.subspan(2)));
    }
    out.text("attestation_key", hex_encode(name));
  }
  if (gateway.authority) {
    out.comment("Read aloud: " + fingerprint_text(*gateway.authority));
    out.text("authority", hex_encode(*gateway.authority));
  }
  if (!gateway.attestation_key && !gateway.authority) {
    out.comment("To be filled in: the Name of its attestation key, which its operator can tell.");
    out.comment("attestation_key = \"000b…\"");
  }
  out.text("proof", word_for(proof_words, gateway.proof), "that this key is in a TPM");
}

void write_gateway(Writer& out, const Gateway& gateway) {
  const std::string section = "gateways." + key(gateway.ne_id);
  out.section(section);
  if (!is_ne_id(gateway.ne_id)) {
    out.comment("Its NeID is to be filled in, here and wherever this word stands below.");
  }
  write_identity(out, gateway);
  out.list("addresses", gateway.addresses, [](const net::Address& one) { return one.text(); });
  if (gateway.keymsd) out.text("keymsd", text(*gateway.keymsd), "where it listens");
  out.number("static_pcr", gateway.static_pcr, "what is in force; extended once a boot");
  out.text("event_register", text(gateway.event_register), "what happens");
  out.flag("resettable", gateway.resettable, "whether these may be PCR 16 and 23");
  if (!gateway.boot.empty()) out.section(section + ".boot");
  for (const BootRule& rule : gateway.boot) {
    out.list(std::to_string(rule.pcr), rule.accepted,
             [](const tpm::Digest& value) { return hex_encode(value.bytes()); });
  }
  if (!gateway.ima) return;
  out.section(section + ".ima");
  out.list("list_keys", gateway.ima->list_keys, [](const Hash& hash) { return hex_encode(hash); });
  out.list("ignored", gateway.ima->ignored, same);
  out.flag("accept_violations", gateway.ima->accept_violations);
}

void write_tunnel(Writer& out, const std::array<Gateway, 2>& gateways, const xfrm::Tunnel& tunnel) {
  out.section("tunnels." + key(tunnel.name));
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string end = key(gateways.at(i).ne_id);
    const auto& address = tunnel.ends.at(i).address;
    out.text("address." + end, address ? address->text() : "any");
    const auto words = [](const xfrm::Traffic& traffic) { return text(traffic); };
    out.list("traffic." + end, tunnel.ends.at(i).traffic, words);
  }
  out.text("mode", word_for(tunnel_mode_words, tunnel.mode));
  out.text("protocol", word_for(ipsec_words, tunnel.protocol));
  const auto proposal = [](const xfrm::Proposal& one) { return xfrm::words_of(one).value_or("?"); };
  if (tunnel.proposals.empty()) out.comment("To be filled in, as in aes256gcm16.");
  out.list("proposals", tunnel.proposals, proposal);
  out.text("extended_sequence_numbers", word_for(use_words, tunnel.extended_sequence_numbers));
  out.text("udp_encapsulation", word_for(use_words, tunnel.udp_encapsulation));
  out.number("least_replay_window", tunnel.least_replay_window, "packets");
  out.text("inbound_mark", mark_text(tunnel.inbound_mark), "of inbound SAs");
  out.text("output_mark", mark_text(tunnel.output_mark), "what outbound SAs write on packets");
  out.text("inbound_policy_mark", mark_text(tunnel.inbound_policy_mark));
  out.text("outbound_policy_mark", mark_text(tunnel.outbound_policy_mark), "and of outbound SAs");
  out.number("interface_id", tunnel.interface_id, "0: none");
  out.text("sa_lifetime",
           text(std::chrono::seconds(static_cast<std::int64_t>(tunnel.most_seconds))), "0s: any");
  out.flag("forwards", tunnel.forwards);
}

void write_bypass(Writer& out, const std::array<Gateway, 2>& gateways, const xfrm::Bypass& bypass) {
  out.section("bypasses." + key(bypass.name));
  out.comment("This goes in clear.");
  out.text("at", gateways.at(index(bypass.at)).ne_id);
  out.text("here", text(bypass.here));
  out.text("there", text(bypass.there));
}

void write_rest(Writer& out, const CorePolicy& policy) {
  const xfrm::Defaults& defaults = policy.agreement.defaults;
  out.section("defaults");
  out.comment("What becomes of packets that no policy of the kernel fits.");
  out.text("in", word_for(action_words, defaults.in));
  out.text("forward", word_for(action_words, defaults.forward));
  out.text("out", word_for(action_words, defaults.out));
  const Signing& signing = policy.signing;
  out.section("signing");
  out.text("mode", word_for(signing_mode_words, signing.mode));
  out.text("suite", word_for(suite_words, signing.suite));
  out.text("inbound", word_for(inbound_words, signing.inbound), "packets that come in");
  out.text("key_lifetime", text(signing.key_lifetime));
  out.text("overlap", text(signing.overlap), "how long the former key still counts");
  const Attestation& attestation = policy.attestation;
  out.section("attestation");
  out.text("interval", text(attestation.interval));
  out.text("certificate_lifetime", text(attestation.certificate_lifetime));
  out.text("silence", text(attestation.silence), "without a sign of life: as a denial");
  out.text("after_drift", word_for(after_drift_words, attestation.after_drift));
  out.text("on_failure", word_for(on_failure_words, attestation.on_failure));
  out.text("grace", text(attestation.grace), "until the next worse follows; 0s: never");
}

}  // namespace

std::string toml_text(const CorePolicy& policy) {
  Writer out;
  out.comment("What two gateways have agreed on; docs/POLICY.md tells each field.");
  out.text("name", policy.name);
  out.number("version", policy.version);
  if (policy.predecessor) out.text("predecessor", hex_encode(*policy.predecessor));
  for (const Gateway& gateway : policy.gateways) write_gateway(out, gateway);
  for (const xfrm::Tunnel& tunnel : policy.agreement.tunnels) {
    write_tunnel(out, policy.gateways, tunnel);
  }
  for (const xfrm::Bypass& bypass : policy.agreement.bypasses) {
    write_bypass(out, policy.gateways, bypass);
  }
  write_rest(out, policy);
  return out.take();
}

}  // namespace cs::keyms
