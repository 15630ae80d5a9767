// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers to and from bytes of a known order. For exactly sizeof(T) bytes: the bounds are
// ByteReader's and ByteWriter's business, and code outside base/ uses those.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace cs {

namespace detail {
// How far byte `index` of a T lies from its lowest byte, in bits.
template <std::endian order, class T>
constexpr std::size_t shift_of(std::size_t index) noexcept {
  return 8 * (order == std::endian::big ? sizeof(T) - 1 - index : index);
}
}  // namespace detail

// Folds rather than loops: compilers make one load or store (and bswap) of a fold at -O2.
template <std::endian order, std::unsigned_integral T>
[[nodiscard]] constexpr T load(std::span<const std::uint8_t, sizeof(T)> bytes) noexcept {
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return static_cast<T>((... | (std::uint64_t{bytes[i]} << detail::shift_of<order, T>(i))));
  }
  (std::make_index_sequence<sizeof(T)>{});
}

template <std::endian order, std::unsigned_integral T>
constexpr void store(T value, std::span<std::uint8_t, sizeof(T)> out) noexcept {
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    ((out[i] = static_cast<std::uint8_t>(value >> detail::shift_of<order, T>(i))), ...);
  }
  (std::make_index_sequence<sizeof(T)>{});
}

}  // namespace cs
