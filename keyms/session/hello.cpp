// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/hello.h"

#include <algorithm>
#include <utility>

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/ne_id.h"
#include "keyms/session/vouchers.h"

namespace cs::keyms {

namespace {

constexpr std::string_view hello_name = "a session's hello";
constexpr std::string_view statement_name = "an endpoint statement";
constexpr std::uint64_t last_second = 253402300799;  // of the year 9999
constexpr std::size_t domain_size = 24;              // with its zero byte
constexpr std::array<char, domain_size> domain{"countersign endpoint v1"};

Error refusal(std::string_view what, const std::string& why) {
  return {ErrorKind::invalid, std::string(what) + ": " + why};
}

Result<void> check_ne_id(std::string_view what, std::string_view field, std::string_view ne_id) {
  if (is_ne_id(ne_id)) return {};
  return refusal(what, std::string(field) +
                           " is no NeID: a lower-case letter, then lower-case "
                           "letters, digits and '-', at most " +
                           std::to_string(max_ne_id));
}

Result<void> check_size(std::string_view field, std::size_t size, std::size_t most) {
  if (size >= 1 && size <= most) return {};
  return refusal(hello_name, std::string(field) + " has " + std::to_string(size) + " bytes, 1 to " +
                                 std::to_string(most) + " are allowed");
}

Result<void> check(const EndpointStatement& statement) {
  CS_CHECK(check_ne_id(statement_name, "its name", statement.ne_id));
  if (statement.not_after > last_second) return refusal(statement_name, "it ends after 9999");
  if (statement.not_before <= statement.not_after) return {};
  return refusal(statement_name, "it ends before it begins");
}

Result<void> check(const SessionHello& hello) {
  if (hello.role != Role::initiator && hello.role != Role::responder)
    return refusal(hello_name, "its type is neither 1 nor 2");
  CS_CHECK(check_ne_id(hello_name, "the sender's name", hello.from));
  CS_CHECK(check_ne_id(hello_name, "the receiver's name", hello.to));
  if (hello.from == hello.to) return refusal(hello_name, "sender and receiver are the same");
  if (hello.policy_version == 0) return refusal(hello_name, "the policy's version is 0");
  constexpr std::uint8_t uncompressed = 4;
  if (hello.share[0] != uncompressed)
    return refusal(hello_name, "the share does not begin with 4, as an uncompressed point does");
  CS_CHECK(check_size("the attestation key", hello.ak_public.size(), max_ak_public));
  CS_CHECK(check_size("the endpoint statement", hello.statement.size(), max_endpoint_statement));
  CS_CHECK(check_size("its signature", hello.signature.size(), max_endpoint_signature));
  if (hello.key_id == 0) return refusal(hello_name, "the key id is 0");
  return check_vouchers(hello.vouchers);
}

Result<void> read_ne_id(CborReader& in, std::uint64_t key, std::string_view what,
                        std::string& out) {
  CS_CHECK(in.key(key, what));
  CS_TRY(const std::string_view text, in.text(what, max_ne_id));
  out = text;
  return {};
}

Result<void> read_number(CborReader& in, std::uint64_t key, std::string_view what,
                         std::uint64_t& out) {
  CS_CHECK(in.key(key, what));
  CS_TRY(out, in.number(what));
  return {};
}

template <std::size_t size>
Result<void> read_exactly(CborReader& in, std::uint64_t key, std::string_view what,
                          std::array<std::uint8_t, size>& out) {
  CS_CHECK(in.key(key, what));
  CS_TRY(const ByteView bytes, in.exactly(what, size));
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return {};
}

Result<void> read_bytes(CborReader& in, std::uint64_t key, std::string_view what, std::size_t most,
                        std::vector<std::uint8_t>& out) {
  CS_CHECK(in.key(key, what));
  CS_TRY(const ByteView bytes, in.bytes(what, most));
  out.assign(bytes.begin(), bytes.end());
  return {};
}

Result<void> read_version(CborReader& in) {
  std::uint64_t version = 0;
  CS_CHECK(read_number(in, 0, "the version", version));
  if (version == session_version) return {};
  return Error(ErrorKind::unsupported, "the peer speaks version " + std::to_string(version) +
                                           " of the attestation session, this program version " +
                                           std::to_string(session_version))
      .with_hint("install the same release on both gateways");
}

}  // namespace

Result<std::vector<std::uint8_t>> encode(const SessionHello& hello) {
  CS_CHECK(check(hello));
  CborWriter out(max_session_message);
  out.array(2).number(static_cast<std::uint8_t>(hello.role)).map(hello.vouchers.empty() ? 12 : 13);
  out.key(0).number(session_version).key(1).text(hello.from).key(2).text(hello.to);
  out.key(3).bytes(hello.nonce).key(4).bytes(hello.core_properties);
  out.key(5).number(hello.policy_version).key(6).bytes(hello.share).key(7).bytes(hello.ak_public);
  out.key(8).bytes(hello.statement).key(9).bytes(hello.signature);
  out.key(10).boolean(hello.wants_proof);
  if (!hello.vouchers.empty()) write_vouchers(out.key(11), hello.vouchers);
  out.key(12).number(hello.key_id);
  return out.finish(hello_name);
}

Result<SessionHello> decode_hello(ByteView message) {
  CborReader in(message, hello_name);
  CS_TRY(const std::size_t items, in.array("the envelope", 2));
  if (items != 2) return in.wrong("the envelope", "is no pair");
  CS_TRY(const std::uint64_t type, in.number("the type", 2));
  SessionHello hello;
  hello.role = static_cast<Role>(type);
  CS_CHECK(in.begin_map("the hello", 13));
  CS_CHECK(read_version(in));
  CS_CHECK(read_ne_id(in, 1, "the sender's name", hello.from));
  CS_CHECK(read_ne_id(in, 2, "the receiver's name", hello.to));
  CS_CHECK(read_exactly(in, 3, "the nonce", hello.nonce));
  CS_CHECK(read_exactly(in, 4, "the core properties value", hello.core_properties));
  CS_CHECK(read_number(in, 5, "the policy's version", hello.policy_version));
  CS_CHECK(read_exactly(in, 6, "the share", hello.share));
  CS_CHECK(read_bytes(in, 7, "the attestation key", max_ak_public, hello.ak_public));
  CS_CHECK(read_bytes(in, 8, "the endpoint statement", max_endpoint_statement, hello.statement));
  CS_CHECK(read_bytes(in, 9, "its signature", max_endpoint_signature, hello.signature));
  CS_CHECK(in.key(10, "whether proof is wanted"));
  CS_TRY(hello.wants_proof, in.boolean("whether proof is wanted"));
  if (in.has_key(11)) {
    CS_TRY(hello.vouchers, read_vouchers(in));
  }
  CS_CHECK(in.key(12, "the key id"));
  CS_TRY(const std::uint64_t key_id, in.number("the key id", UINT32_MAX));
  hello.key_id = static_cast<std::uint32_t>(key_id);
  CS_CHECK(in.end_map("the hello"));
  CS_CHECK(in.end());
  CS_CHECK(check(hello));
  return hello;
}

Result<std::vector<std::uint8_t>> encode(const EndpointStatement& statement) {
  CS_CHECK(check(statement));
  CborWriter out(max_endpoint_statement);
  out.map(4).key(0).text(statement.ne_id).key(1).bytes(statement.certificate);
  out.key(2).number(statement.not_before).key(3).number(statement.not_after);
  return out.finish(statement_name);
}

Result<EndpointStatement> decode_endpoint_statement(ByteView bytes) {
  CborReader in(bytes, statement_name);
  EndpointStatement statement;
  CS_CHECK(in.begin_map("the statement", 4));
  CS_CHECK(read_ne_id(in, 0, "the name", statement.ne_id));
  CS_CHECK(read_exactly(in, 1, "the certificate's hash", statement.certificate));
  CS_CHECK(read_number(in, 2, "its begin", statement.not_before));
  CS_CHECK(read_number(in, 3, "its end", statement.not_after));
  CS_CHECK(in.end_map("the statement"));
  CS_CHECK(in.end());
  CS_CHECK(check(statement));
  return statement;
}

std::vector<std::uint8_t> signed_endpoint(ByteView statement) {
  std::vector<std::uint8_t> document(domain.size() + statement.size());
  const auto behind = std::copy(domain.begin(), domain.end(), document.begin());
  std::copy(statement.begin(), statement.end(), behind);
  return document;
}

}  // namespace cs::keyms
