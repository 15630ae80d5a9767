// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/signer_protocol.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/byte_writer.h"

namespace cs::keyms {

namespace {

enum class Type : std::uint8_t {
  hello = 0x01,
  sign_request = 0x02,
  status = 0x03,
  applied = 0x04,
  welcome = 0x81,
  peer = 0x82,
  outbound_key = 0x83,
  inbound_key = 0x84,
  remove_key = 0x85,
  remove_peer = 0x86,
  end_of_state = 0x87,
  sign_reply = 0x88,
};

constexpr std::uint8_t kind_session = 0;
constexpr std::uint8_t kind_remote = 1;

ByteWriter start(Type type, ByteSpan out) {
  ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(type));
  return writer;
}

// The rules that both directions share.

Error refusal(std::string_view message, std::string_view field, std::uint64_t value,
              std::string_view rule) {
  return {ErrorKind::invalid, std::string(message) + ": " + std::string(field) + " is " +
                                  std::to_string(value) + ", " + std::string(rule)};
}

template <class Enum>
constexpr std::uint8_t number_of(Enum value) noexcept {
  return static_cast<std::uint8_t>(value);
}

Result<void> check(const Hello& hello) {
  if (hello.workers >= 1 && hello.workers <= max_workers) return {};
  return refusal("hello", "the number of workers", hello.workers,
                 "it must be 1 to " + std::to_string(max_workers));
}

Result<void> check(const Peer& peer) {
  if (peer.mode > Mode::enforce)
    return refusal("peer", "the mode", number_of(peer.mode), "it must be 0 to 3");
  if (peer.addresses.size() > max_addresses) {
    return refusal("peer", "the number of addresses", peer.addresses.size(),
                   "it must be at most " + std::to_string(max_addresses));
  }
  for (const Address& address : peer.addresses) {
    if (address.size != 4 && address.size != 16)
      return refusal("peer", "the size of an address", address.size, "it must be 4 or 16");
  }
  return {};
}

Result<void> check(const KeyRecord& record, std::string_view name) {
  const KeyScope& scope = record.scope;
  if (scope.direction > 1)
    return refusal(name, "the direction", scope.direction, "it must be 0 or 1");
  if (scope.suite < Suite::p256_node16 || scope.suite > Suite::ed25519_node32)
    return refusal(name, "the suite", number_of(scope.suite), "it must be 1 to 4");
  if (record.gate_secret.size() != gate_secret_size) {
    return refusal(name, "the size of the gate secret", record.gate_secret.size(),
                   "it must be " + std::to_string(gate_secret_size));
  }
  if (record.lanes.first > record.lanes.last) {
    return refusal(name, "the first lane", record.lanes.first,
                   "which is above the last, " + std::to_string(record.lanes.last));
  }
  if (record.end.not_after > max_not_after)
    return refusal(name, "the end", record.end.not_after, "which is beyond the year 9999");
  if (record.end.lifetime_ms == 0)
    return refusal(name, "the lifetime", 0, "and a key that has ended is not sent");
  return {};
}

Result<void> check_public(ByteView key, Suite suite, std::string_view name) {
  if (key.size() != public_key_size(suite)) {
    return refusal(name, "the size of the public key", key.size(),
                   "its suite has " + std::to_string(public_key_size(suite)));
  }
  constexpr std::uint8_t uncompressed = 4;
  if (key.size() == 65 && key[0] != uncompressed)
    return refusal(name, "the form of the public key", key[0], "it must be 4: uncompressed");
  return {};
}

Result<void> check(const OutboundKey& key) {
  constexpr std::string_view name = "outbound_key";
  CS_CHECK(check(key.record, name));
  if (const auto* remote = std::get_if<RemoteKey>(&key.signer))
    return check_public(remote->public_key, key.record.scope.suite, name);
  const std::size_t size = std::get<SessionKey>(key.signer).private_key.size();
  if (size == private_key_size) return {};
  return refusal(name, "the size of the private key", size,
                 "it must be " + std::to_string(private_key_size));
}

Result<void> check(const InboundKey& key) {
  CS_CHECK(check(key.record, "inbound_key"));
  return check_public(key.public_key, key.record.scope.suite, "inbound_key");
}

Result<void> check(const RemoveKey& message) {
  if (message.table <= Table::inbound) return {};
  return refusal("remove_key", "the table", number_of(message.table), "it must be 0 or 1");
}

Result<void> check(const SignReply& reply) {
  if (reply.status < SignStatus::count) return {};
  return refusal("sign_reply", "the status", number_of(reply.status),
                 "it must be below " + std::to_string(number_of(SignStatus::count)));
}

}  // namespace

std::string_view to_string(SignStatus status) noexcept {
  constexpr std::array<std::string_view, number_of(SignStatus::count)> names{"done",
                                                                             "busy",
                                                                             "failed",
                                                                             "unknown_key",
                                                                             "not_a_statement",
                                                                             "other_suite",
                                                                             "other_session",
                                                                             "other_direction",
                                                                             "other_key",
                                                                             "other_pcr",
                                                                             "lane_not_allowed",
                                                                             "batch_repeated"};
  const std::size_t index = number_of(status);
  return index < names.size() ? names.at(index) : "unknown";
}

// Encoding.

namespace {

void write(ByteWriter& writer, const KeyRecord& record) {
  const KeyScope& scope = record.scope;
  writer.u32be(record.peer).bytes(scope.session).bytes(scope.pcr_digest).u32be(scope.key);
  writer.u8(scope.direction).u8(number_of(scope.suite)).bytes(record.gate_secret.bytes());
  writer.u16be(record.lanes.first).u16be(record.lanes.last);
  writer.u64be(record.end.not_after).u32be(record.end.lifetime_ms);
}

}  // namespace

Result<ByteView> encode(const Hello& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::hello, out);
  writer.u16be(message.version).u16be(message.workers).bytes(message.instance);
  return writer.finish("hello");
}

Result<ByteView> encode(const SignRequest& message, ByteSpan out) {
  ByteWriter writer = start(Type::sign_request, out);
  writer.u64be(message.ticket).u32be(message.key).bytes(message.statement);
  return writer.finish("sign_request");
}

Result<ByteView> encode(const Status& message, ByteSpan out) {
  ByteWriter writer = start(Type::status, out);
  writer.u64be(message.packets_signed).u64be(message.batches_signed);
  writer.u64be(message.packets_accepted).u64be(message.packets_dropped);
  writer.u64be(message.bad_signatures);
  return writer.finish("status");
}

Result<ByteView> encode(const Applied& message, ByteSpan out) {
  ByteWriter writer = start(Type::applied, out);
  return writer.u32be(message.key).finish("applied");
}

Result<ByteView> encode(const Welcome& message, ByteSpan out) {
  ByteWriter writer = start(Type::welcome, out);
  return writer.u16be(message.version).finish("welcome");
}

Result<ByteView> encode(const Peer& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::peer, out);
  writer.u32be(message.id).u8(number_of(message.mode));
  writer.u8(static_cast<std::uint8_t>(message.addresses.size()));
  for (const Address& address : message.addresses) writer.vec8(address.view());
  return writer.finish("peer");
}

Result<ByteView> encode(const OutboundKey& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::outbound_key, out);
  write(writer, message.record);
  if (const auto* session = std::get_if<SessionKey>(&message.signer)) {
    writer.u8(kind_session).bytes(session->private_key.bytes());
  } else {
    writer.u8(kind_remote).vec8(std::get<RemoteKey>(message.signer).public_key);
  }
  return writer.finish("outbound_key");
}

Result<ByteView> encode(const InboundKey& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::inbound_key, out);
  write(writer, message.record);
  return writer.vec8(message.public_key).finish("inbound_key");
}

Result<ByteView> encode(const RemoveKey& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::remove_key, out);
  return writer.u32be(message.key).u8(number_of(message.table)).finish("remove_key");
}

Result<ByteView> encode(const RemovePeer& message, ByteSpan out) {
  ByteWriter writer = start(Type::remove_peer, out);
  return writer.u32be(message.id).finish("remove_peer");
}

Result<ByteView> encode(const EndOfState& /*message*/, ByteSpan out) {
  return start(Type::end_of_state, out).finish("end_of_state");
}

Result<ByteView> encode(const SignReply& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::sign_reply, out);
  writer.u64be(message.ticket).u8(number_of(message.status));
  if (message.status == SignStatus::done) writer.bytes(message.signature);
  return writer.finish("sign_reply");
}

// Decoding. Each reader reads what follows the type, up to the end of its message.

namespace {

template <class Enum>
bool read(ByteReader& reader, Enum& out) {
  std::uint8_t number = 0;
  if (!reader.u8(number)) return false;
  out = static_cast<Enum>(number);
  return true;
}

Result<FromSigner> read_hello(ByteReader& reader) {
  Hello hello;
  if (!reader.u16be(hello.version) || !reader.u16be(hello.workers) ||
      !reader.copy_to(hello.instance) || !reader.expect_end()) {
    return reader.failure("hello");
  }
  CS_CHECK(check(hello));
  return hello;
}

Result<FromSigner> read_sign_request(ByteReader& reader) {
  SignRequest request;
  if (!reader.u64be(request.ticket) || !reader.u32be(request.key) ||
      !reader.copy_to(request.statement) || !reader.expect_end()) {
    return reader.failure("sign_request");
  }
  return request;
}

Result<FromSigner> read_status(ByteReader& reader) {
  Status status;
  if (!reader.u64be(status.packets_signed) || !reader.u64be(status.batches_signed) ||
      !reader.u64be(status.packets_accepted) || !reader.u64be(status.packets_dropped) ||
      !reader.u64be(status.bad_signatures) || !reader.expect_end()) {
    return reader.failure("status");
  }
  return status;
}

Result<FromSigner> read_applied(ByteReader& reader) {
  Applied applied;
  if (!reader.u32be(applied.key) || !reader.expect_end()) return reader.failure("applied");
  return applied;
}

Result<FromKeymsd> read_welcome(ByteReader& reader) {
  Welcome welcome;
  if (!reader.u16be(welcome.version) || !reader.expect_end()) return reader.failure("welcome");
  return welcome;
}

Result<FromKeymsd> read_peer(ByteReader& reader) {
  Peer peer;
  std::uint8_t count = 0;
  if (!reader.u32be(peer.id) || !read(reader, peer.mode) || !reader.u8(count))
    return reader.failure("peer");
  if (count > max_addresses) {
    return refusal("peer", "the number of addresses", count,
                   "it must be at most " + std::to_string(max_addresses));
  }
  for (std::uint8_t i = 0; i < count; ++i) {
    Address address;
    ByteView bytes;
    if (!reader.vec8(address.bytes.size(), bytes)) return reader.failure("peer");
    std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
    address.size = static_cast<std::uint8_t>(bytes.size());
    peer.addresses.push_back(address);
  }
  if (!reader.expect_end()) return reader.failure("peer");
  CS_CHECK(check(peer));
  return peer;
}

Result<KeyRecord> read_record(ByteReader& reader, std::string_view name) {
  std::uint32_t peer = 0;
  KeyScope scope;
  ByteView gate_secret;
  LaneRange lanes;
  KeyEnd end;
  if (!reader.u32be(peer) || !reader.copy_to(scope.session) || !reader.copy_to(scope.pcr_digest) ||
      !reader.u32be(scope.key) || !reader.u8(scope.direction) || !read(reader, scope.suite) ||
      !reader.take(gate_secret_size, gate_secret) || !reader.u16be(lanes.first) ||
      !reader.u16be(lanes.last) || !reader.u64be(end.not_after) || !reader.u32be(end.lifetime_ms)) {
    return reader.failure(name);
  }
  CS_TRY(SecretBytes secret, SecretBytes::copy_of(gate_secret).context(name));
  KeyRecord record{peer, scope, std::move(secret), lanes, end};
  CS_CHECK(check(record, name));
  return record;
}

// The size that the suite asks for is checked once the message is whole.
bool read_public(ByteReader& reader, std::vector<std::uint8_t>& out) {
  ByteView key;
  if (!reader.vec8(public_key_size(Suite::p256_node16), key)) return false;
  out.assign(key.begin(), key.end());
  return reader.expect_end();
}

Result<FromKeymsd> read_outbound_key(ByteReader& reader) {
  constexpr std::string_view name = "outbound_key";
  CS_TRY(KeyRecord record, read_record(reader, name));
  std::uint8_t kind = 0;
  if (!reader.u8(kind)) return reader.failure(name);
  if (kind == kind_session) {
    ByteView secret;
    if (!reader.take(private_key_size, secret) || !reader.expect_end()) return reader.failure(name);
    CS_TRY(SecretBytes private_key, SecretBytes::copy_of(secret).context(name));
    return OutboundKey{std::move(record), SessionKey{std::move(private_key)}};
  }
  if (kind != kind_remote) return refusal(name, "the kind", kind, "it must be 0 or 1");
  RemoteKey remote;
  if (!read_public(reader, remote.public_key)) return reader.failure(name);
  OutboundKey key{std::move(record), std::move(remote)};
  CS_CHECK(check(key));
  return key;
}

Result<FromKeymsd> read_inbound_key(ByteReader& reader) {
  CS_TRY(KeyRecord record, read_record(reader, "inbound_key"));
  InboundKey key{std::move(record), {}};
  if (!read_public(reader, key.public_key)) return reader.failure("inbound_key");
  CS_CHECK(check(key));
  return key;
}

Result<FromKeymsd> read_remove_key(ByteReader& reader) {
  RemoveKey message;
  if (!reader.u32be(message.key) || !read(reader, message.table) || !reader.expect_end())
    return reader.failure("remove_key");
  CS_CHECK(check(message));
  return message;
}

Result<FromKeymsd> read_remove_peer(ByteReader& reader) {
  RemovePeer message;
  if (!reader.u32be(message.id) || !reader.expect_end()) return reader.failure("remove_peer");
  return message;
}

Result<FromKeymsd> read_end_of_state(ByteReader& reader) {
  if (!reader.expect_end()) return reader.failure("end_of_state");
  return EndOfState{};
}

Result<FromKeymsd> read_sign_reply(ByteReader& reader) {
  SignReply reply;
  if (!reader.u64be(reply.ticket) || !read(reader, reply.status))
    return reader.failure("sign_reply");
  CS_CHECK(check(reply));
  if (reply.status == SignStatus::done && !reader.copy_to(reply.signature))
    return reader.failure("sign_reply");
  if (!reader.expect_end()) return reader.failure("sign_reply");
  return reply;
}

// The type, or why there is none.
Result<Type> read_type(ByteReader& reader, ByteView message) {
  if (message.size() > max_message) {
    return Error(ErrorKind::limit, "a message of " + std::to_string(message.size()) +
                                       " bytes: at most " + std::to_string(max_message));
  }
  Type type{};
  if (!read(reader, type)) return reader.failure("a message");
  return type;
}

Error unknown_type(Type type, std::string_view sender) {
  return {ErrorKind::invalid, "a message of type " + std::to_string(number_of(type)) + ", which " +
                                  std::string(sender) + " does not send"};
}

}  // namespace

Result<FromSigner> decode_from_signer(ByteView message) {
  ByteReader reader(message);
  CS_TRY(const Type type, read_type(reader, message));
  switch (type) {
    case Type::hello:
      return read_hello(reader);
    case Type::sign_request:
      return read_sign_request(reader);
    case Type::status:
      return read_status(reader);
    case Type::applied:
      return read_applied(reader);
    default:
      return unknown_type(type, "nfq-signer");
  }
}

Result<FromKeymsd> decode_from_keymsd(ByteView message) {
  ByteReader reader(message);
  CS_TRY(const Type type, read_type(reader, message));
  switch (type) {
    case Type::welcome:
      return read_welcome(reader);
    case Type::peer:
      return read_peer(reader);
    case Type::outbound_key:
      return read_outbound_key(reader);
    case Type::inbound_key:
      return read_inbound_key(reader);
    case Type::remove_key:
      return read_remove_key(reader);
    case Type::remove_peer:
      return read_remove_peer(reader);
    case Type::end_of_state:
      return read_end_of_state(reader);
    case Type::sign_reply:
      return read_sign_reply(reader);
    default:
      return unknown_type(type, "keymsd");
  }
}

}  // namespace cs::keyms
