// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/packet.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/endian.h"

namespace cs {

namespace {

constexpr std::size_t v4_header = 20;
constexpr std::size_t v6_header = 40;
constexpr std::size_t udp_header = 8;
constexpr std::size_t esp_minimum = 8;  // SPI, sequence number
constexpr std::size_t ah_minimum = 12;  // without ICV
constexpr int max_extension_headers = 8;

constexpr std::uint8_t hop_by_hop = 0;
constexpr std::uint8_t udp_protocol = 17;
constexpr std::uint8_t routing = 43;
constexpr std::uint8_t fragment = 44;
constexpr std::uint8_t destination_options = 60;

std::uint16_t get16(ByteView bytes, std::size_t at) noexcept {
  return load<std::endian::big, std::uint16_t>(bytes.subspan(at).first<2>());
}

void put16(ByteSpan bytes, std::size_t at, std::uint16_t value) noexcept {
  store<std::endian::big>(value, bytes.subspan(at).first<2>());
}

// Sums of RFC 1071 and how a checksum follows a change of what it covers (RFC 1624). A checksum
// that was wrong stays wrong by the same amount: we do not repair what the network broke.
class Checksum {
 public:
  explicit Checksum(std::uint16_t field) noexcept : sum_(static_cast<std::uint16_t>(~field)) {}

  void add(std::uint16_t word) noexcept { sum_ += word; }
  void subtract(std::uint16_t word) noexcept { sum_ += static_cast<std::uint16_t>(~word); }
  void replace(std::uint16_t before, std::uint16_t after) noexcept {
    subtract(before);
    add(after);
  }
  [[nodiscard]] std::uint16_t field() const noexcept {
    return static_cast<std::uint16_t>(~fold(sum_));
  }

  [[nodiscard]] static std::uint16_t sum_of(ByteView even) noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i + 1 < even.size(); i += 2) sum += get16(even, i);
    return fold(sum);
  }

 private:
  [[nodiscard]] static std::uint16_t fold(std::uint64_t sum) noexcept {
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16U);
    return static_cast<std::uint16_t>(sum);
  }
  std::uint64_t sum_;
};

// What stands behind the IP headers: its protocol number, where it begins, and which byte says so.
struct Upper {
  std::uint8_t protocol = 0;
  std::size_t at = 0;
  std::size_t protocol_at = 0;
};

Reason find_upper_v4(ByteView packet, Upper& out) noexcept {
  if (packet.size() < v4_header) return Reason::malformed;
  const std::size_t header = (packet[0] & 0xfU) * std::size_t{4};
  if (header < v4_header || header > packet.size() || get16(packet, 2) != packet.size()) {
    return Reason::malformed;
  }
  if ((get16(packet, 6) & 0x3fffU) != 0) return Reason::fragment;  // more fragments, or an offset
  out = {packet[9], header, 9};
  return Reason::none;
}

Reason find_upper_v6(ByteView packet, Upper& out) noexcept {
  if (packet.size() < v6_header || get16(packet, 4) != packet.size() - v6_header) {
    return Reason::malformed;
  }
  out = {packet[6], v6_header, 6};
  for (int passed = 0;; ++passed) {
    const ByteView rest = packet.subspan(out.at);
    std::size_t size = 8;
    switch (out.protocol) {
      case hop_by_hop:
      case routing:
      case destination_options:
        if (rest.size() < size) return Reason::malformed;
        size = (rest[1] + std::size_t{1}) * 8;
        break;
      case fragment:
        if (rest.size() < size) return Reason::malformed;
        if ((get16(rest, 2) & 0xfff9U) != 0) return Reason::fragment;  // an offset, or more of them
        break;
      default:
        return Reason::none;
    }
    if (passed == max_extension_headers || rest.size() < size) return Reason::malformed;
    out = {rest[0], out.at + size, out.at};
  }
}

Reason find_upper(ByteView packet, bool& ipv6, Upper& out) noexcept {
  if (packet.empty() || packet.size() > max_packet) return Reason::malformed;
  const unsigned version = packet[0] >> 4U;
  if (version != 4 && version != 6) return Reason::malformed;
  ipv6 = version == 6;
  return ipv6 ? find_upper_v6(packet, out) : find_upper_v4(packet, out);
}

Reason find_esp_in_udp(ByteView packet, std::size_t at, std::span<const std::uint16_t> ports,
                       Layout& out) noexcept {
  const ByteView datagram = packet.subspan(at);
  if (datagram.size() < udp_header) return Reason::malformed;
  const auto is_ours = [&](std::uint16_t port) {
    return ports.empty() || std::find(ports.begin(), ports.end(), port) != ports.end();
  };
  if (!is_ours(get16(datagram, 0)) && !is_ours(get16(datagram, 2))) return Reason::not_ipsec;
  if (get16(datagram, 4) != datagram.size()) return Reason::malformed;
  const ByteView inside = datagram.subspan(udp_header);
  if (inside.size() == 1 && inside[0] == 0xff) return Reason::not_ipsec;  // keepalive
  if (inside.size() < 4) return Reason::malformed;
  const bool is_ike =
      std::all_of(inside.begin(), inside.begin() + 4, [](auto b) { return b == 0; });
  if (is_ike) return Reason::not_ipsec;
  if (inside.size() < esp_minimum) return Reason::malformed;
  out.udp = at;
  out.payload = at + udp_header;
  return Reason::none;
}

}  // namespace

Reason find_layout(ByteView packet, std::span<const std::uint16_t> udp_ports,
                   Layout& out) noexcept {
  out = {};
  Upper upper;
  const Reason reason = find_upper(packet, out.ipv6, upper);
  if (reason != Reason::none) return reason;

  const ByteView rest = packet.subspan(upper.at);
  out.protocol_at = upper.protocol_at;
  out.payload = upper.at;
  switch (upper.protocol) {
    case static_cast<std::uint8_t>(Protocol::esp):
      return rest.size() < esp_minimum ? Reason::malformed : Reason::none;
    case static_cast<std::uint8_t>(Protocol::ah):
      if (rest.size() < ah_minimum) return Reason::malformed;
      out.protocol = Protocol::ah;
      out.ah_header = (rest[1] + std::size_t{2}) * 4;
      return out.ah_header < ah_minimum || out.ah_header > rest.size() ? Reason::malformed
                                                                       : Reason::none;
    case udp_protocol:
      return find_esp_in_udp(packet, upper.at, udp_ports, out);
    default:
      return Reason::not_ipsec;
  }
}

Reason check_growth(const Layout& at, std::size_t packet_size, std::size_t extension) noexcept {
  const bool fits = extension <= max_extension && packet_size + extension <= max_packet &&
                    (at.protocol == Protocol::esp || at.ah_header + extension <= max_ah_header);
  return fits ? Reason::none : Reason::too_big;
}

namespace {

// Makes the headers of `packet`, which has its new size, tell it. `inserted`: what came to the end
// of a UDP datagram, or went from there.
void correct_headers(const Layout& at, ByteSpan packet, std::size_t size_before,
                     ByteView inserted) noexcept {
  const bool grew = packet.size() > size_before;
  if (at.ipv6) {
    put16(packet, 4, static_cast<std::uint16_t>(packet.size() - v6_header));
  } else {
    const auto now = static_cast<std::uint16_t>(packet.size());
    Checksum header(get16(packet, 10));
    header.replace(get16(packet, 2), now);
    put16(packet, 2, now);
    put16(packet, 10, header.field());
  }
  if (at.udp == 0) return;
  const ByteSpan datagram = packet.subspan(at.udp);
  const std::uint16_t length_before = get16(datagram, 4);
  const auto length_now = static_cast<std::uint16_t>(datagram.size());
  put16(datagram, 4, length_now);
  if (get16(datagram, 6) == 0) return;  // none was made
  Checksum checksum(get16(datagram, 6));
  checksum.replace(length_before, length_now);  // in the header
  checksum.replace(length_before, length_now);  // in the pseudo header
  std::uint16_t sum = Checksum::sum_of(inserted);
  const bool is_odd = std::min(length_before, length_now) % 2 != 0;
  if (is_odd) sum = static_cast<std::uint16_t>((sum << 8U) | (sum >> 8U));
  if (grew) {
    checksum.add(sum);
  } else {
    checksum.subtract(sum);
  }
  put16(datagram, 6, checksum.field() == 0 ? 0xffff : checksum.field());
}

}  // namespace

void insert_extension(const Layout& at, ByteView packet, ByteView extension,
                      ByteSpan out) noexcept {
  const std::size_t front = at.end_of_icv(packet.size());
  // From the end, as `out` may be the packet's own memory.
  std::memmove(out.data() + front + extension.size(), packet.data() + front, packet.size() - front);
  std::copy(extension.begin(), extension.end(), out.begin() + static_cast<std::ptrdiff_t>(front));
  if (out.data() != packet.data()) std::memmove(out.data(), packet.data(), front);
  if (at.protocol == Protocol::ah) {
    out[at.payload + 1] = static_cast<std::uint8_t>(out[at.payload + 1] + extension.size() / 4);
  }
  correct_headers(at, out, packet.size(), extension);
}

void clear_dont_fragment(ByteSpan packet, std::uint16_t identification) noexcept {
  Checksum header(get16(packet, 10));
  header.replace(get16(packet, 4), identification);
  header.replace(get16(packet, 6), 0);
  put16(packet, 4, identification);
  put16(packet, 6, 0);
  put16(packet, 10, header.field());
}

std::optional<Original> original_of(const Layout& at, ByteView packet) noexcept {
  if (at.ipv6) return std::nullopt;
  const Original now{get16(packet, 4), get16(packet, 6)};
  if (now.flags != Original::only_flags) return std::nullopt;
  return now;
}

bool has_dont_fragment(const Layout& at, ByteView packet) noexcept {
  return !at.ipv6 && (get16(packet, 6) & Original::only_flags) != 0;
}

ByteSpan remove_extension(const Layout& at, ByteSpan packet, std::size_t size,
                          const std::optional<Original>& original) noexcept {
  const std::size_t front = at.end_of_icv(packet.size()) - size;
  const std::size_t before = packet.size();
  ByteSpan shorter = packet.first(before - size);
  if (at.protocol == Protocol::ah) {
    shorter = packet.subspan(size);
    std::copy_backward(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(front),
                       packet.begin() + static_cast<std::ptrdiff_t>(front + size));
    shorter[at.payload + 1] = static_cast<std::uint8_t>(shorter[at.payload + 1] - size / 4);
  }
  // ESP's extension still lies behind the shorter packet, and only ESP can be inside UDP.
  correct_headers(at, shorter, before, at.udp != 0 ? packet.subspan(front, size) : ByteSpan{});
  if (original) {
    Checksum header(get16(shorter, 10));
    header.replace(get16(shorter, 4), original->identification);
    header.replace(get16(shorter, 6), original->flags);
    put16(shorter, 4, original->identification);
    put16(shorter, 6, original->flags);
    put16(shorter, 10, header.field());
  }
  return shorter;
}

namespace {

constexpr std::uint8_t translator_version = 1;

void set_protocol(const Layout& at, ByteSpan packet, std::uint8_t protocol) noexcept {
  if (at.ipv6) {
    packet[at.protocol_at] = protocol;
    return;
  }
  Checksum header(get16(packet, 10));
  const std::uint16_t before = get16(packet, 8);
  packet[at.protocol_at] = protocol;
  header.replace(before, get16(packet, 8));
  put16(packet, 10, header.field());
}

// Of a datagram over IPv6 whose checksum field is zero.
std::uint16_t udp_checksum(ByteView packet, std::size_t udp) noexcept {
  const ByteView datagram = packet.subspan(udp);
  const std::size_t even = datagram.size() & ~std::size_t{1};
  Checksum sum(0xffff);
  sum.add(Checksum::sum_of(packet.subspan(8, 32)));  // addresses
  sum.add(static_cast<std::uint16_t>(datagram.size()));
  sum.add(udp_protocol);
  sum.add(Checksum::sum_of(datagram.first(even)));
  if (even != datagram.size()) sum.add(static_cast<std::uint16_t>(datagram.back() << 8U));
  return sum.field() == 0 ? 0xffff : sum.field();
}

}  // namespace

void translate(const Layout& at, std::uint16_t port, ByteSpan room) noexcept {
  const ByteSpan headers = room.subspan(translation_size).first(at.payload);
  std::copy(headers.begin(), headers.end(), room.begin());
  set_protocol(at, room, udp_protocol);
  correct_headers(at, room, room.size() - translation_size, {});
  const ByteSpan datagram = room.subspan(at.payload);
  put16(datagram, 0, port);
  put16(datagram, 2, port);
  put16(datagram, 4, static_cast<std::uint16_t>(datagram.size()));
  put16(datagram, 6, 0);
  datagram[8] = translator_version;
  datagram[9] = static_cast<std::uint8_t>(at.protocol);
  put16(datagram, 10, 0);
  if (at.ipv6) put16(datagram, 6, udp_checksum(room, at.payload));
}

Reason translate_back(std::uint16_t port, ByteSpan& packet) noexcept {
  Layout at;
  Upper upper;
  if (find_upper(packet, at.ipv6, upper) != Reason::none || upper.protocol != udp_protocol)
    return Reason::none;
  const ByteView datagram = packet.subspan(upper.at);
  if (datagram.size() < udp_header || get16(datagram, 2) != port) return Reason::none;
  if (get16(datagram, 4) != datagram.size()) return Reason::malformed;
  if (datagram.size() < translation_size || datagram[8] != translator_version ||
      get16(datagram, 10) != 0)
    return Reason::untranslatable;
  const std::uint8_t protocol = datagram[9];
  if (protocol != static_cast<std::uint8_t>(Protocol::esp) &&
      protocol != static_cast<std::uint8_t>(Protocol::ah))
    return Reason::untranslatable;
  const auto end_of_headers = packet.begin() + static_cast<std::ptrdiff_t>(upper.at);
  std::copy_backward(packet.begin(), end_of_headers,
                     end_of_headers + static_cast<std::ptrdiff_t>(translation_size));
  const std::size_t before = packet.size();
  packet = packet.subspan(translation_size);
  at.protocol_at = upper.protocol_at;
  set_protocol(at, packet, protocol);
  correct_headers(at, packet, before, {});
  return Reason::none;
}

}  // namespace cs
