// SPDX-License-Identifier: GPL-3.0-or-later
// Netlink: strict reading, and requests that cannot overflow.
#pragma once

#include <libmnl/libmnl.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"

namespace cs::netlink {

// The first sizeof(T) bytes, which must be there.
template <class T>
[[nodiscard]] std::optional<T> first_of(ByteView bytes) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

struct Message {
  nlmsghdr header;
  ByteView payload;  // behind the header, exactly as long as the header says
};

// The messages in what one receive brought. Neither mnl_nlmsg_ok() nor mnl_attr_parse(): the former
// accepts lengths of 2^31 and more, the latter reads up to 3 bytes behind a message.
class Messages {
 public:
  explicit Messages(ByteView received) noexcept : left_(received) {}
  // nullopt: no further one that is wholly there.
  std::optional<Message> next() noexcept;
  // Bytes were left that are no message.
  [[nodiscard]] bool is_malformed() const noexcept { return !left_.empty(); }

 private:
  ByteView left_;
};

struct Attribute {
  std::uint16_t type;      // without the two flags
  std::uint16_t raw_type;  // with them
  ByteView value;
};

// The attributes in a row of them, as Messages does it.
class Attributes {
 public:
  explicit Attributes(ByteView row) noexcept : left_(row) {}
  std::optional<Attribute> next() noexcept;
  [[nodiscard]] bool is_malformed() const noexcept { return !left_.empty(); }

 private:
  ByteView left_;
};

// A number whose attribute has exactly its size.
template <class T>
[[nodiscard]] std::optional<T> number_of(const Attribute& attribute) noexcept {
  if (attribute.value.size() != sizeof(T)) return std::nullopt;
  return first_of<T>(attribute.value);
}

// The end of an answer: NLMSG_DONE or NLMSG_ERROR, which also says success.
struct End {
  int error = 0;  // an errno; 0: success
  std::string words;
};
// nullopt: it is none.
std::optional<End> parse_end(const Message& message);

// A request under construction. Sticky as ByteWriter: what does not fit makes ok() false for good,
// and the socket refuses to send it.
class Request {
 public:
  Request(std::uint16_t type, std::uint16_t flags);
  // One whose answer is many messages and a NLMSG_DONE. (The flag's bits mean others elsewhere.)
  static Request dump(std::uint16_t type);
  Request(Request&&) = default;
  Request& operator=(Request&&) = delete;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  // Wiped: an SA is made with its keys.
  ~Request();

  // The fixed header of the message, zeroed. Once, before the attributes.
  template <class T>
  T& fixed() {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 256);
    return *static_cast<T*>(mnl_nlmsg_put_extra_header(header(), sizeof(T)));
  }
  Request& put(std::uint16_t type, ByteView value) { return put(type, value, {}); }
  // A value in two pieces: a key is put behind its description without a copy that stays.
  Request& put(std::uint16_t type, ByteView head, ByteView tail);
  Request& put_u32(std::uint16_t type, std::uint32_t value);
  // Attributes as they are.
  Request& append(ByteView attributes);

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] bool is_dump() const noexcept { return is_dump_; }
  [[nodiscard]] nlmsghdr* header() noexcept { return reinterpret_cast<nlmsghdr*>(memory_.data()); }

 private:
  std::vector<std::uint8_t> memory_;
  bool ok_ = true;
  bool is_dump_ = false;
};

// One attribute in bytes, padded; for rows that are put together before they are sent.
void append_attribute(std::vector<std::uint8_t>& row, std::uint16_t raw_type, ByteView value);

}  // namespace cs::netlink
