// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/vici/message.h"

#include <algorithm>

namespace cs::vici {
namespace {

constexpr std::size_t max_name = 255;
constexpr std::size_t max_value = 65535;

bool has_name(PacketType type) noexcept {
  return type == PacketType::request || type == PacketType::event ||
         type == PacketType::register_event || type == PacketType::unregister_event;
}

std::string_view text_of(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Error broken(std::string_view what) {
  return {ErrorKind::invalid, "reading a VICI message: " + std::string(what)};
}

}  // namespace

Result<Packet> parse_packet(ByteView bytes) {
  ByteReader left(bytes);
  std::uint8_t type = 0;
  if (!left.u8(type)) return left.failure("a VICI packet");
  if (type > static_cast<std::uint8_t>(PacketType::event)) {
    return Error(ErrorKind::invalid,
                 "reading a VICI packet: there is no type " + std::to_string(type));
  }
  Packet packet{static_cast<PacketType>(type), {}, {}};
  ByteView name;
  if (has_name(packet.type) && !left.vec8(max_name, name)) return left.failure("a VICI packet");
  packet.name = text_of(name);
  packet.message = left.rest();
  return packet;
}

std::vector<std::uint8_t> make_packet(PacketType type, std::string_view name, ByteView message) {
  const std::string_view said = name.substr(0, max_name);
  std::vector<std::uint8_t> bytes{0, 0, 0, 0, static_cast<std::uint8_t>(type)};
  bytes.push_back(static_cast<std::uint8_t>(said.size()));
  bytes.insert(bytes.end(), said.begin(), said.end());
  bytes.insert(bytes.end(), message.begin(), message.end());
  std::size_t length = bytes.size() - 4;
  for (std::size_t i = 4; i-- > 0; length >>= 8U) bytes[i] = static_cast<std::uint8_t>(length);
  return bytes;
}

std::vector<std::uint8_t> make_message(const Values& values) {
  std::vector<std::uint8_t> bytes;
  for (const auto& [name, value] : values) {
    const std::string_view called = name.substr(0, max_name);
    const std::string_view said = value.substr(0, max_value);
    bytes.push_back(static_cast<std::uint8_t>(Element::Type::key_value));
    bytes.push_back(static_cast<std::uint8_t>(called.size()));
    bytes.insert(bytes.end(), called.begin(), called.end());
    bytes.push_back(static_cast<std::uint8_t>(said.size() >> 8U));
    bytes.push_back(static_cast<std::uint8_t>(said.size() & 0xffU));
    bytes.insert(bytes.end(), said.begin(), said.end());
  }
  return bytes;
}

// Items are in lists only, and nothing else is in them.
Result<void> Elements::keep_order(Element::Type type) {
  using Type = Element::Type;
  const bool of_list = type == Type::list_item || type == Type::list_end;
  if (of_list != in_list_)
    return broken(in_list_ ? "a list has more than items" : "there is no list");
  if (type == Type::section_end || type == Type::list_end) {
    if (depth_ == 0) return broken("more sections end than begin");
    --depth_;
  }
  if (type == Type::section_start || type == Type::list_start) {
    if (depth_ == max_depth) return Error(ErrorKind::limit, "reading a VICI message: too deep");
    ++depth_;
  }
  in_list_ = type == Type::list_start || type == Type::list_item;
  return {};
}

Result<std::optional<Element>> Elements::next() {
  using Type = Element::Type;
  if (left_.remaining() == 0) {
    if (depth_ != 0) return broken("a section has no end");
    return std::optional<Element>();
  }
  std::uint8_t number = 0;
  if (!left_.u8(number)) return left_.failure("a VICI message");
  const auto type = static_cast<Type>(number);
  if (type < Type::section_start || type > Type::list_end) {
    return broken("there is no element " + std::to_string(number));
  }
  CS_CHECK(keep_order(type));
  ByteView name;
  ByteView value;
  const bool named =
      type == Type::section_start || type == Type::key_value || type == Type::list_start;
  const bool valued = type == Type::key_value || type == Type::list_item;
  if ((named && !left_.vec8(max_name, name)) || (valued && !left_.vec16be(max_value, value))) {
    return left_.failure("a VICI message");
  }
  return std::optional(Element{type, text_of(name), text_of(value)});
}

}  // namespace cs::vici
