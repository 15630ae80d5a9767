// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/service_protocol.h"

#include <algorithm>
#include <utility>

#include "base/byte_writer.h"
#include "keyms/carrier/service_rules.h"
#include "keyms/ne_id.h"

namespace cs::keyms::carrier {

namespace {

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

ByteWriter start(Type type, ByteSpan out) {
  ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(type));
  return writer;
}

}  // namespace

// Encoding.

namespace {

void write(ByteWriter& writer, const Endpoint& endpoint) {
  writer.vec8(endpoint.address.view()).u16be(endpoint.port);
}

void write(ByteWriter& writer, const Reason& reason) {
  writer.vec8(bytes_of(reason.code)).vec8(bytes_of(reason.sentence));
}

}  // namespace

Result<ByteView> encode(const Hello& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::hello, out);
  writer.u16be(message.version).u8(message.opens_channels ? 1 : 0);
  return writer.vec8(bytes_of(message.name)).finish("hello");
}

Result<ByteView> encode(const Connect& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::connect, out);
  writer.u32be(message.channel).u8(message.opened_by_peer ? 1 : 0).u16be(message.protocol);
  writer.u8(message.lowest_version).u8(message.highest_version).vec8(message.secret.bytes());
  writer.vec16be(message.certificate).vec16be(message.peer_certificate);
  return writer.vec8(bytes_of(message.peer)).vec8(bytes_of(message.address)).finish("connect");
}

Result<ByteView> encode(const Data& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::data, out);
  return writer.u32be(message.channel).bytes(message.bytes).finish("data");
}

Result<ByteView> encode(const Close& message, ByteSpan out) {
  CS_CHECK(check("close", message.reason));
  ByteWriter writer = start(Type::close, out);
  writer.u32be(message.channel);
  write(writer, message.reason);
  return writer.finish("close");
}

Result<ByteView> encode(const Unreachable& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::unreachable, out);
  writer.vec8(bytes_of(message.peer)).vec8(bytes_of(message.sentence));
  return writer.finish("unreachable");
}

Result<ByteView> encode(const Stats& message, ByteSpan out) {
  ByteWriter writer = start(Type::stats, out);
  writer.u64be(message.channels).u64be(message.unproven);
  writer.u64be(message.counters.accepted).u64be(message.counters.proven);
  for (const std::uint64_t count : message.counters.refused) writer.u64be(count);
  return writer.finish("stats");
}

Result<ByteView> encode(const Welcome& message, ByteSpan out) {
  ByteWriter writer = start(Type::welcome, out);
  return writer.u16be(message.version).finish("welcome");
}

Result<ByteView> encode(const Open& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::open, out);
  writer.vec8(bytes_of(message.peer)).u8(static_cast<std::uint8_t>(message.endpoints.size()));
  for (const Endpoint& endpoint : message.endpoints) write(writer, endpoint);
  return writer.finish("open");
}

Result<ByteView> encode(const Grant& message, ByteSpan out) {
  ByteWriter writer = start(Type::grant, out);
  return writer.u32be(message.channel).finish("grant");
}

Result<ByteView> encode(const Deny& message, ByteSpan out) {
  CS_CHECK(check("deny", message.reason));
  ByteWriter writer = start(Type::deny, out);
  writer.u32be(message.channel);
  write(writer, message.reason);
  return writer.finish("deny");
}

Result<ByteView> encode(const OwnEndpoint& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::own_endpoint, out);
  writer.vec8(bytes_of(message.ne_id)).vec16be(message.certificate);
  return writer.bytes(message.private_key.bytes()).finish("own_endpoint");
}

Result<ByteView> encode(const KnownPeer& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::known_peer, out);
  writer.vec8(bytes_of(message.ne_id));
  writer.u8(static_cast<std::uint8_t>(message.core_properties.size()));
  for (const Hash& value : message.core_properties) writer.bytes(value);
  writer.vec8(message.attestation_key).u8(static_cast<std::uint8_t>(message.pinned.size()));
  for (const net::Address& address : message.pinned) writer.vec8(address.view());
  return writer.finish("known_peer");
}

Result<ByteView> encode(const Listener& /*message*/, ByteSpan out) {
  return start(Type::listener, out).finish("listener");
}

Result<ByteView> encode(const Configured& /*message*/, ByteSpan out) {
  return start(Type::configured, out).finish("configured");
}

Result<ByteView> encode(const Dial& message, ByteSpan out) {
  CS_CHECK(check(message));
  ByteWriter writer = start(Type::dial, out);
  writer.vec8(bytes_of(message.peer));
  write(writer, message.endpoint);
  return writer.finish("dial");
}

// Decoding. Each reader reads what follows the type, up to the end of its message.

namespace {

// A byte that is 0 or 1.
Result<bool> flag(std::string_view message, std::string_view field, std::uint8_t byte) {
  if (byte <= 1) return byte == 1;
  return refusal(message, std::string(field) + " is neither 0 nor 1");
}

bool read(ByteReader& reader, std::size_t most, std::string& out) {
  ByteView bytes;
  if (!reader.vec8(most, bytes)) return false;
  out.assign(bytes.begin(), bytes.end());
  return true;
}

bool read(ByteReader& reader, std::size_t most, std::vector<std::uint8_t>& out) {
  ByteView bytes;
  if (!reader.vec16be(most, bytes)) return false;
  out.assign(bytes.begin(), bytes.end());
  return true;
}

bool read(ByteReader& reader, Reason& out) {
  return read(reader, max_reason, out.code) && read(reader, max_sentence, out.sentence);
}

Result<void> read(ByteReader& reader, std::string_view message, net::Address& out) {
  ByteView bytes;
  if (!reader.vec8(out.bytes.size(), bytes)) return reader.failure(message);
  if (bytes.size() != 4 && bytes.size() != 16)
    return refusal(message, "an address has neither 4 nor 16 bytes");
  out.ipv6 = bytes.size() == 16;
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return {};
}

Result<void> read(ByteReader& reader, std::string_view message, Endpoint& out) {
  CS_CHECK(read(reader, message, out.address));
  if (!reader.u16be(out.port)) return reader.failure(message);
  return {};
}

Result<FromCarrier> read_hello(ByteReader& reader) {
  Hello hello;
  std::uint8_t flags = 0;
  if (!reader.u16be(hello.version) || !reader.u8(flags) ||
      !read(reader, max_carrier_name, hello.name) || !reader.expect_end()) {
    return reader.failure("hello");
  }
  CS_TRY(hello.opens_channels, flag("hello", "the flags", flags));
  CS_CHECK(check(hello));
  return hello;
}

Result<FromCarrier> read_connect(ByteReader& reader) {
  constexpr std::string_view name = "connect";
  std::uint32_t channel = 0;
  std::uint8_t opened_by = 0;
  std::uint16_t protocol = 0;
  std::uint8_t lowest = 0;
  std::uint8_t highest = 0;
  ByteView secret;
  if (!reader.u32be(channel) || !reader.u8(opened_by) || !reader.u16be(protocol) ||
      !reader.u8(lowest) || !reader.u8(highest) || !reader.vec8(max_channel_secret, secret)) {
    return reader.failure(name);
  }
  CS_TRY(const bool by_peer, flag(name, "who opened it", opened_by));
  CS_CHECK(check_size(name, "the channel's secret", secret.size(), min_channel_secret,
                      max_channel_secret));
  CS_TRY(SecretBytes kept, SecretBytes::copy_of(secret).context(name));
  Connect connect{channel, by_peer, protocol, lowest, highest, std::move(kept), {}, {}, {}, {}};
  if (!read(reader, max_certificate, connect.certificate) ||
      !read(reader, max_certificate, connect.peer_certificate) ||
      !read(reader, max_ne_id, connect.peer) || !read(reader, max_address_text, connect.address) ||
      !reader.expect_end()) {
    return reader.failure(name);
  }
  CS_CHECK(check(connect));
  return connect;
}

template <class From>
Result<From> read_data(ByteReader& reader) {
  Data data;
  if (!reader.u32be(data.channel)) return reader.failure("data");
  const ByteView bytes = reader.rest();
  data.bytes.assign(bytes.begin(), bytes.end());
  CS_CHECK(check(data));
  return data;
}

template <class From, class Message>
Result<From> read_end(ByteReader& reader, std::string_view name) {
  Message message;
  if (!reader.u32be(message.channel) || !read(reader, message.reason) || !reader.expect_end())
    return reader.failure(name);
  CS_CHECK(check(name, message.reason));
  return message;
}

Result<FromCarrier> read_unreachable(ByteReader& reader) {
  Unreachable message;
  if (!read(reader, max_ne_id, message.peer) || !read(reader, max_sentence, message.sentence) ||
      !reader.expect_end()) {
    return reader.failure("unreachable");
  }
  CS_CHECK(check(message));
  return message;
}

Result<FromCarrier> read_stats(ByteReader& reader) {
  Stats stats;
  bool whole = reader.u64be(stats.channels) && reader.u64be(stats.unproven) &&
               reader.u64be(stats.counters.accepted) && reader.u64be(stats.counters.proven);
  for (std::uint64_t& count : stats.counters.refused) whole = whole && reader.u64be(count);
  if (!whole || !reader.expect_end()) return reader.failure("stats");
  return stats;
}

Result<FromService> read_welcome(ByteReader& reader) {
  Welcome welcome;
  if (!reader.u16be(welcome.version) || !reader.expect_end()) return reader.failure("welcome");
  return welcome;
}

Result<FromService> read_open(ByteReader& reader) {
  Open open;
  std::uint8_t count = 0;
  if (!read(reader, max_ne_id, open.peer) || !reader.u8(count)) return reader.failure("open");
  if (count > max_endpoints) return refusal("open", "too many endpoints");
  open.endpoints.resize(count);
  for (Endpoint& endpoint : open.endpoints) CS_CHECK(read(reader, "open", endpoint));
  if (!reader.expect_end()) return reader.failure("open");
  CS_CHECK(check(open));
  return open;
}

Result<FromService> read_grant(ByteReader& reader) {
  Grant grant;
  if (!reader.u32be(grant.channel) || !reader.expect_end()) return reader.failure("grant");
  return grant;
}

Result<FromService> read_own_endpoint(ByteReader& reader) {
  constexpr std::string_view name = "own_endpoint";
  std::string ne_id;
  std::vector<std::uint8_t> certificate;
  ByteView key;
  if (!read(reader, max_ne_id, ne_id) || !read(reader, max_certificate, certificate) ||
      !reader.take(private_key_size, key) || !reader.expect_end()) {
    return reader.failure(name);
  }
  CS_TRY(SecretBytes private_key, SecretBytes::copy_of(key).context(name));
  OwnEndpoint endpoint{std::move(ne_id), std::move(certificate), std::move(private_key)};
  CS_CHECK(check(endpoint));
  return endpoint;
}

Result<FromService> read_known_peer(ByteReader& reader) {
  constexpr std::string_view name = "known_peer";
  KnownPeer peer;
  std::uint8_t count = 0;
  if (!read(reader, max_ne_id, peer.ne_id) || !reader.u8(count)) return reader.failure(name);
  if (count > max_values) return refusal(name, "too many values");
  peer.core_properties.resize(count);
  for (Hash& value : peer.core_properties) {
    if (!reader.copy_to(value)) return reader.failure(name);
  }
  ByteView key_name;
  if (!reader.vec8(max_name, key_name) || !reader.u8(count)) return reader.failure(name);
  peer.attestation_key.assign(key_name.begin(), key_name.end());
  if (count > max_pinned) return refusal(name, "too many addresses");
  peer.pinned.resize(count);
  for (net::Address& address : peer.pinned) CS_CHECK(read(reader, name, address));
  if (!reader.expect_end()) return reader.failure(name);
  CS_CHECK(check(peer));
  return peer;
}

template <class Message>
Result<FromService> read_nothing(ByteReader& reader, std::string_view name) {
  if (!reader.expect_end()) return reader.failure(name);
  return Message{};
}

Result<FromService> read_dial(ByteReader& reader) {
  Dial dial;
  if (!read(reader, max_ne_id, dial.peer)) return reader.failure("dial");
  CS_CHECK(read(reader, "dial", dial.endpoint));
  if (!reader.expect_end()) return reader.failure("dial");
  CS_CHECK(check(dial));
  return dial;
}

// The type, or why there is none.
Result<Type> read_type(ByteReader& reader, ByteView message, bool private_too) {
  if (message.size() > max_service_message) {
    return Error(ErrorKind::limit, "a message of " + std::to_string(message.size()) +
                                       " bytes: at most " + std::to_string(max_service_message));
  }
  std::uint8_t type = 0;
  if (!reader.u8(type)) return reader.failure("a message");
  if ((type & private_bit) == 0 || private_too) return static_cast<Type>(type);
  return refusal("a message of type " + std::to_string(type),
                 "it is for keymsd and its own worker only");
}

Error unknown_type(Type type, std::string_view sender) {
  return refusal("a message of type " + std::to_string(static_cast<unsigned>(type)),
                 std::string(sender) + " sends none");
}

Result<FromCarrier> from_carrier(ByteView message, bool private_too) {
  ByteReader reader(message);
  CS_TRY(const Type type, read_type(reader, message, private_too));
  switch (type) {
    case Type::hello:
      return read_hello(reader);
    case Type::connect:
      return read_connect(reader);
    case Type::data:
      return read_data<FromCarrier>(reader);
    case Type::close:
      return read_end<FromCarrier, Close>(reader, "close");
    case Type::unreachable:
      return read_unreachable(reader);
    case Type::stats:
      return read_stats(reader);
    default:
      return unknown_type(type, "a carrier");
  }
}

Result<FromService> to_worker(ByteReader& reader, Type type) {
  switch (type) {
    case Type::own_endpoint:
      return read_own_endpoint(reader);
    case Type::known_peer:
      return read_known_peer(reader);
    case Type::listener:
      return read_nothing<Listener>(reader, "listener");
    case Type::configured:
      return read_nothing<Configured>(reader, "configured");
    case Type::dial:
      return read_dial(reader);
    default:
      return unknown_type(type, "the service");
  }
}

Result<FromService> from_service(ByteView message, bool private_too) {
  ByteReader reader(message);
  CS_TRY(const Type type, read_type(reader, message, private_too));
  switch (type) {
    case Type::welcome:
      return read_welcome(reader);
    case Type::open:
      return read_open(reader);
    case Type::data:
      return read_data<FromService>(reader);
    case Type::grant:
      return read_grant(reader);
    case Type::deny:
      return read_end<FromService, Deny>(reader, "deny");
    case Type::close:
      return read_end<FromService, Close>(reader, "close");
    default:
      return to_worker(reader, type);
  }
}

}  // namespace

Result<FromCarrier> decode_from_carrier(ByteView message) {
  return from_carrier(message, false);
}
Result<FromCarrier> decode_from_worker(ByteView message) {
  return from_carrier(message, true);
}
Result<FromService> decode_from_service(ByteView message) {
  return from_service(message, false);
}
Result<FromService> decode_to_worker(ByteView message) {
  return from_service(message, true);
}

}  // namespace cs::keyms::carrier
