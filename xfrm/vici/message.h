// SPDX-License-Identifier: GPL-3.0-or-later
// VICI, strongSwan's protocol for control programs: packets and what is in them, as bytes. The norm
// is README.md in libcharon's plugins/vici.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::vici {

// Behind its length, which is of 4 bytes; charon's own limit.
inline constexpr std::size_t max_packet = std::size_t{512} * 1024;
// Sections within each other; a list counts. list-sas has four.
inline constexpr std::size_t max_depth = 16;

enum class PacketType : std::uint8_t {
  request,
  response,
  unknown_request,
  register_event,
  unregister_event,
  confirmed,  // of registering and unregistering
  unknown_event,
  event,
};

struct Packet {
  PacketType type;
  std::string_view name;  // empty: its type has none
  ByteView message;
};
Result<Packet> parse_packet(ByteView bytes);

// With its length in front. A name has at most 255 bytes.
std::vector<std::uint8_t> make_packet(PacketType type, std::string_view name,
                                      ByteView message = {});

// A message of values alone, in this order. A name has at most 255 bytes, a value 65,535.
using Values = std::vector<std::pair<std::string_view, std::string_view>>;
std::vector<std::uint8_t> make_message(const Values& values);

struct Element {
  enum class Type : std::uint8_t {
    section_start = 1,
    section_end,
    key_value,
    list_start,
    list_item,
    list_end,
  };
  Type type;
  std::string_view name;   // of a section, a value or a list
  std::string_view value;  // of a value or an item
};

// The elements of a message in their order. What they refer to is the message.
class Elements {
 public:
  explicit Elements(ByteView message) noexcept : left_(message) {}
  // nullopt: the end, with every section and list closed.
  Result<std::optional<Element>> next();
  // How many sections and lists are open, after what next() returned.
  [[nodiscard]] std::size_t depth() const noexcept { return depth_; }

 private:
  Result<void> keep_order(Element::Type type);

  ByteReader left_;
  std::size_t depth_ = 0;
  bool in_list_ = false;
};

}  // namespace cs::vici
