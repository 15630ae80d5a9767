// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "base/cbor_reader.h"
#include "keyms/policy/encode.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t format = 1;

// Reads the value of a key that has to be there.
class Fields {
 public:
  explicit Fields(CborReader& in) : in_(in) {}

  template <class T>
  Result<void> number(std::uint64_t key, std::string_view what, T& out, std::uint64_t most) {
    CS_CHECK(in_.key(key, what));
    CS_TRY(const std::uint64_t value, in_.number(what, most));
    out = static_cast<T>(value);
    return {};
  }
  Result<void> flag(std::uint64_t key, std::string_view what, bool& out) {
    CS_CHECK(in_.key(key, what));
    CS_TRY(out, in_.boolean(what));
    return {};
  }
  Result<void> text(std::uint64_t key, std::string_view what, std::string& out, std::size_t most) {
    CS_CHECK(in_.key(key, what));
    CS_TRY(out, in_.text(what, most));
    return {};
  }
  Result<void> duration(std::uint64_t key, std::string_view what, std::chrono::seconds& out) {
    std::int64_t seconds = 0;
    CS_CHECK(number(key, what, seconds, static_cast<std::uint64_t>(max_duration.count())));
    out = std::chrono::seconds(seconds);
    return {};
  }
  Result<void> mark(std::uint64_t key, std::string_view what, xfrm::Mark& out) {
    CS_CHECK(in_.key(key, what));
    CS_CHECK(pair(what));
    CS_TRY(const std::uint64_t value, in_.number(what, ~0U));
    CS_TRY(const std::uint64_t mask, in_.number(what, ~0U));
    out = {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(mask)};
    return {};
  }
  // An array of two items follows.
  Result<void> pair(std::string_view what) { return array(what, 2); }
  Result<void> array(std::string_view what, std::size_t size) {
    CS_TRY(const std::size_t items, in_.array(what, size));
    if (items != size) return in_.wrong(what, "has not " + std::to_string(size) + " items");
    return {};
  }
  // read(T&) of each item of an array of any length up to a limit.
  template <class T, class Read>
  Result<void> list(std::uint64_t key, std::string_view what, std::size_t most, std::vector<T>& out,
                    Read read) {
    CS_CHECK(in_.key(key, what));
    CS_TRY(const std::size_t items, in_.array(what, most));
    for (std::size_t i = 0; i < items; ++i) {
      T value{};
      CS_CHECK(read(value));
      out.push_back(std::move(value));
    }
    return {};
  }

 private:
  CborReader& in_;
};

Result<void> read(CborReader& in, std::string_view what, Hash& out) {
  CS_TRY(const ByteView bytes, in.exactly(what, out.size()));
  std::ranges::copy(bytes, out.begin());
  return {};
}

Result<void> read(CborReader& in, std::string_view what, net::Address& out) {
  CS_TRY(const ByteView bytes, in.bytes(what, 16));
  if (bytes.size() != 4 && bytes.size() != 16) return in.wrong(what, "is neither 4 nor 16 bytes");
  out.ipv6 = bytes.size() == 16;
  std::ranges::copy(bytes, out.bytes.begin());
  return {};
}

Result<void> read(CborReader& in, ImaRules& out) {
  Fields fields(in);
  CS_CHECK(in.begin_map("ima", 3));
  CS_CHECK(fields.list(1, "list_keys", max_list_keys, out.list_keys,
                       [&](Hash& hash) { return read(in, "a key of list_keys", hash); }));
  CS_CHECK(
      fields.list(2, "ignored", max_ignored, out.ignored, [&](std::string& path) -> Result<void> {
        CS_TRY(path, in.text("an ignored path", max_path));
        return {};
      }));
  CS_CHECK(fields.flag(3, "accept_violations", out.accept_violations));
  return in.end_map("ima");
}

Result<void> read(CborReader& in, BootRule& out) {
  CS_CHECK(Fields(in).pair("a boot rule"));
  CS_TRY(const std::uint64_t pcr, in.number("a PCR", tpm::pcr_count - 1));
  out.pcr = static_cast<std::uint32_t>(pcr);
  CS_TRY(const std::size_t values, in.array("the values of a PCR", max_accepted));
  for (std::size_t i = 0; i < values; ++i) {
    CS_TRY(const ByteView bytes, in.exactly("the value of a PCR", 32));
    CS_TRY(const tpm::Digest value, tpm::Digest::from(tpm::HashAlgorithm::sha256, bytes));
    out.accepted.push_back(value);
  }
  return {};
}

Result<void> read_event_register(CborReader& in, tpm::CelRegister& out) {
  CS_CHECK(in.key(8, "event_register"));
  CS_CHECK(Fields(in).pair("event_register"));
  CS_TRY(const std::uint64_t kind, in.number("the kind of event_register", 2));
  if (kind == 0) return in.wrong("the kind of event_register", "is 0");
  CS_TRY(const std::uint64_t number, in.number("event_register", ~0U));
  out = {static_cast<tpm::CelRegister::Kind>(kind), static_cast<std::uint32_t>(number)};
  return {};
}

Result<void> read_identity(CborReader& in, Gateway& out) {
  if (in.has_key(2)) {
    CS_TRY(const ByteView name, in.bytes("attestation_key", tpm::most_name));
    out.attestation_key = tpm::Name{{name.begin(), name.end()}};
  }
  if (in.has_key(3)) CS_CHECK(read(in, "authority", out.authority.emplace()));
  return Fields(in).number(4, "proof", out.proof, 1);
}

Result<void> read(CborReader& in, Gateway& out) {
  Fields fields(in);
  CS_CHECK(in.begin_map("a gateway", 11));
  CS_CHECK(fields.text(1, "the NeID", out.ne_id, max_ne_id));
  CS_CHECK(read_identity(in, out));
  CS_CHECK(fields.list(5, "addresses", max_addresses, out.addresses,
                       [&](net::Address& address) { return read(in, "an address", address); }));
  if (in.has_key(6)) {
    Endpoint& keymsd = out.keymsd.emplace();
    CS_CHECK(fields.pair("keymsd"));
    CS_CHECK(read(in, "the address of keymsd", keymsd.address));
    CS_TRY(const std::uint64_t port, in.number("the port of keymsd", 0xffff));
    keymsd.port = static_cast<std::uint16_t>(port);
  }
  CS_CHECK(fields.number(7, "static_pcr", out.static_pcr, tpm::pcr_count - 1));
  CS_CHECK(read_event_register(in, out.event_register));
  CS_CHECK(fields.flag(9, "resettable", out.resettable));
  CS_CHECK(fields.list(10, "boot", tpm::pcr_count, out.boot,
                       [&](BootRule& rule) { return read(in, rule); }));
  if (in.has_key(11)) CS_CHECK(read(in, out.ima.emplace()));
  return in.end_map("a gateway");
}

Result<void> read(CborReader& in, xfrm::Traffic& out) {
  CS_CHECK(Fields(in).array("a network", 5));
  net::Address address;
  CS_CHECK(read(in, "the address of a network", address));
  CS_TRY(const std::uint64_t length, in.number("the length of a network", address.bits()));
  CS_TRY(out.network, net::Prefix::make(address, static_cast<std::uint8_t>(length)));
  CS_TRY(const std::uint64_t protocol, in.number("the protocol of a network", 0xff));
  CS_TRY(const std::uint64_t port, in.number("the port of a network", 0xffff));
  CS_TRY(const std::uint64_t mask, in.number("the port mask of a network", 0xffff));
  out.protocol = static_cast<std::uint8_t>(protocol);
  out.ports = {static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(mask)};
  return {};
}

Result<void> read(CborReader& in, xfrm::TunnelEnd& out) {
  CS_CHECK(in.begin_map("an end of a tunnel", 2));
  if (in.has_key(1)) CS_CHECK(read(in, "the address of a tunnel", out.address.emplace()));
  CS_CHECK(Fields(in).list(2, "the traffic of a tunnel", xfrm::max_pairs, out.traffic,
                           [&](xfrm::Traffic& traffic) { return read(in, traffic); }));
  return in.end_map("an end of a tunnel");
}

Result<void> read(CborReader& in, xfrm::Proposal& out) {
  CS_TRY(const std::string_view words, in.text("a proposal", 2 * xfrm::max_name));
  CS_TRY(out, xfrm::parse_proposal(words));
  if (xfrm::words_of(out) == words) return {};
  return in.wrong("a proposal", "does not name encryption first");
}

Result<void> read(CborReader& in, xfrm::Tunnel& out) {
  Fields fields(in);
  CS_CHECK(in.begin_map("a tunnel", 15));
  CS_CHECK(fields.text(1, "the name of a tunnel", out.name, xfrm::max_name));
  CS_CHECK(in.key(2, "the ends of a tunnel"));
  CS_CHECK(fields.pair("the ends of a tunnel"));
  for (xfrm::TunnelEnd& end : out.ends) CS_CHECK(read(in, end));
  CS_CHECK(fields.number(3, "mode", out.mode, 1));
  CS_CHECK(fields.number(4, "protocol", out.protocol, 0xff));
  CS_CHECK(fields.list(5, "proposals", xfrm::max_proposals, out.proposals,
                       [&](xfrm::Proposal& one) { return read(in, one); }));
  CS_CHECK(fields.number(6, "extended_sequence_numbers", out.extended_sequence_numbers, 2));
  CS_CHECK(fields.number(7, "udp_encapsulation", out.udp_encapsulation, 2));
  CS_CHECK(fields.number(8, "least_replay_window", out.least_replay_window, ~0U));
  CS_CHECK(fields.mark(9, "inbound_mark", out.inbound_mark));
  CS_CHECK(fields.mark(10, "output_mark", out.output_mark));
  CS_CHECK(fields.mark(11, "inbound_policy_mark", out.inbound_policy_mark));
  CS_CHECK(fields.mark(12, "outbound_policy_mark", out.outbound_policy_mark));
  CS_CHECK(fields.number(13, "interface_id", out.interface_id, ~0U));
  CS_CHECK(fields.number(14, "most_seconds", out.most_seconds,
                         static_cast<std::uint64_t>(max_duration.count())));
  CS_CHECK(fields.flag(15, "forwards", out.forwards));
  return in.end_map("a tunnel");
}

Result<void> read(CborReader& in, xfrm::Bypass& out) {
  Fields fields(in);
  CS_CHECK(in.begin_map("a bypass", 4));
  CS_CHECK(fields.text(1, "the name of a bypass", out.name, xfrm::max_name));
  CS_CHECK(fields.number(2, "at", out.at, 1));
  CS_CHECK(in.key(3, "here"));
  CS_CHECK(read(in, out.here));
  CS_CHECK(in.key(4, "there"));
  CS_CHECK(read(in, out.there));
  return in.end_map("a bypass");
}

Result<void> read(CborReader& in, xfrm::Defaults& out) {
  CS_CHECK(in.key(7, "defaults"));
  CS_CHECK(Fields(in).array("defaults", 3));
  for (xfrm::Action* action : {&out.in, &out.forward, &out.out}) {
    CS_TRY(const std::uint64_t value, in.number("a default", 1));
    *action = static_cast<xfrm::Action>(value);
  }
  return {};
}

Result<void> read(CborReader& in, Signing& out) {
  Fields fields(in);
  CS_CHECK(in.key(8, "signing"));
  CS_CHECK(in.begin_map("signing", 5));
  CS_CHECK(fields.number(1, "mode", out.mode, 1));
  CS_CHECK(fields.number(2, "suite", out.suite, 4));
  if (out.suite < Suite::p256_node16) return in.wrong("suite", "is 0");
  CS_CHECK(fields.number(3, "inbound", out.inbound, 3));
  CS_CHECK(fields.duration(4, "key_lifetime", out.key_lifetime));
  CS_CHECK(fields.duration(5, "overlap", out.overlap));
  return in.end_map("signing");
}

Result<void> read(CborReader& in, Attestation& out) {
  Fields fields(in);
  CS_CHECK(in.key(9, "attestation"));
  CS_CHECK(in.begin_map("attestation", 6));
  CS_CHECK(fields.duration(1, "interval", out.interval));
  CS_CHECK(fields.duration(2, "certificate_lifetime", out.certificate_lifetime));
  CS_CHECK(fields.duration(3, "silence", out.silence));
  CS_CHECK(fields.number(4, "after_drift", out.after_drift, 2));
  CS_CHECK(fields.number(5, "on_failure", out.on_failure, 2));
  CS_CHECK(fields.duration(6, "grace", out.grace));
  return in.end_map("attestation");
}

Result<void> read(CborReader& in, CorePolicy& out) {
  Fields fields(in);
  CS_CHECK(in.begin_map("it", 10));
  std::uint64_t version_of_format = 0;
  CS_CHECK(fields.number(0, "the format", version_of_format, format));
  if (version_of_format != format) return in.wrong("the format", "is not 1");
  CS_CHECK(fields.text(1, "the name", out.name, xfrm::max_name));
  CS_CHECK(fields.number(2, "the version", out.version, max_version));
  if (in.has_key(3)) CS_CHECK(read(in, "the predecessor", out.predecessor.emplace()));
  CS_CHECK(in.key(4, "the gateways"));
  CS_CHECK(fields.pair("the gateways"));
  for (Gateway& gateway : out.gateways) CS_CHECK(read(in, gateway));
  CS_CHECK(fields.list(5, "the tunnels", xfrm::max_tunnels, out.agreement.tunnels,
                       [&](xfrm::Tunnel& tunnel) { return read(in, tunnel); }));
  CS_CHECK(fields.list(6, "the bypasses", xfrm::max_bypasses, out.agreement.bypasses,
                       [&](xfrm::Bypass& bypass) { return read(in, bypass); }));
  CS_CHECK(read(in, out.agreement.defaults));
  CS_CHECK(read(in, out.signing));
  CS_CHECK(read(in, out.attestation));
  CS_CHECK(in.end_map("it"));
  return in.end();
}

}  // namespace

Result<CorePolicy> decode_policy(ByteView bytes) {
  if (bytes.size() > max_policy_bytes) {
    return Error(ErrorKind::limit, "reading a core policy: it has " + std::to_string(bytes.size()) +
                                       " bytes, at most " + std::to_string(max_policy_bytes) +
                                       " are allowed");
  }
  CborReader in(bytes, "a core policy");
  CorePolicy policy;
  CS_CHECK(read(in, policy));
  CS_CHECK(validate(policy));
  return policy;
}

}  // namespace cs::keyms
