// SPDX-License-Identifier: GPL-3.0-or-later
// Where ESP or AH is in an IP packet, putting an extension in and taking it out again, and both for
// the UDP of the translator. docs/WIRE.md, sections 1, 5 and 11. Plain functions over bytes;
// nothing here allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "nfq-signer/reason.h"

namespace cs {

inline constexpr std::size_t max_packet = 65535;
inline constexpr std::size_t max_ah_header = 1028;
inline constexpr std::size_t max_extension =
    596;  // 15 path nodes of 32 bytes, `original` or padding

enum class Protocol : std::uint8_t { esp = 50, ah = 51 };

// Offsets are from the first byte of the IP header; all of them lie within the packet.
struct Layout {
  bool ipv6 = false;
  Protocol protocol = Protocol::esp;
  std::size_t protocol_at = 0;  // offset of the byte that says what follows the IP headers
  std::size_t udp = 0;          // offset of the UDP header around ESP; 0: none
  std::size_t payload = 0;      // offset of the SPI, or of the AH header; at least 20
  std::size_t ah_header = 0;    // bytes of the AH header as it stands; 0 for ESP

  // Where the extension ends, and the insertion happens when there is none yet.
  [[nodiscard]] std::size_t end_of_icv(std::size_t packet_size) const noexcept {
    return protocol == Protocol::ah ? payload + ah_header : packet_size;
  }
};

// `udp_ports`: a datagram from or to one of these is looked into, any other is not_ipsec. Empty:
// every datagram is, for who knows already that it is ESP in UDP.
[[nodiscard]] Reason find_layout(ByteView packet, std::span<const std::uint16_t> udp_ports,
                                 Layout& out) noexcept;

// What clearing DF replaced in an IPv4 header.
struct Original {
  std::uint16_t identification = 0;
  std::uint16_t flags = 0;

  static constexpr std::uint16_t only_flags = 0x4000;  // DF and no offset: nothing else is allowed
};

// Zero bytes an extension of `size` needs in this packet (docs/WIRE.md, padding).
[[nodiscard]] constexpr std::size_t padding_for(const Layout& at, std::size_t size) noexcept {
  return at.protocol == Protocol::ah && at.ipv6 ? (8 - (at.ah_header + size) % 8) % 8 : 0;
}

// too_big unless a packet of `packet_size` bytes can take `extension` bytes.
[[nodiscard]] Reason check_growth(const Layout& at, std::size_t packet_size,
                                  std::size_t extension) noexcept;

// Writes `packet` with `extension` in its place to `out`, which has exactly the size of both, and
// corrects what counts bytes. The caller has asked check_growth(). `out` may begin where `packet`
// does, and else does not overlap it; the extension lies elsewhere.
void insert_extension(const Layout& at, ByteView packet, ByteView extension, ByteSpan out) noexcept;

// Clears DF and writes `identification`, in an IPv4 header that is there.
void clear_dont_fragment(ByteSpan packet, std::uint16_t identification) noexcept;
[[nodiscard]] std::optional<Original> original_of(const Layout& at, ByteView packet) noexcept;
[[nodiscard]] bool has_dont_fragment(const Layout& at, ByteView packet) noexcept;

// The reverse, within the packet's own memory: what comes back is part of it. Destroys the bytes of
// the extension in AH, so they must have been copied. `size` is at most what lies before
// end_of_icv().
[[nodiscard]] ByteSpan remove_extension(const Layout& at, ByteSpan packet, std::size_t size,
                                        const std::optional<Original>& original) noexcept;

// What the translator puts between the IP headers and ESP or AH: a UDP header and its own.
inline constexpr std::size_t translation_size = 8 + 4;

// `room` ends with a packet of this layout, which is not in UDP, behind translation_size bytes of
// anything. Makes all of it that packet inside UDP, from `port` to `port`.
void translate(const Layout& at, std::uint16_t port, ByteSpan room) noexcept;

// The reverse, within the packet's own memory: `packet` becomes the part of it that was translated.
// What is no UDP to `port` stays as it is, for find_layout() to judge. malformed or untranslatable:
// nothing has changed.
[[nodiscard]] Reason translate_back(std::uint16_t port, ByteSpan& packet) noexcept;

}  // namespace cs
