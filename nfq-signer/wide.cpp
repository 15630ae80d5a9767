// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/wide.h"

#include <cstring>

// What is written on one line is done in one step.
// NOLINTBEGIN(readability-isolate-declaration)
namespace cs::wide {

bool is_there() noexcept {
  static const bool answer = static_cast<bool>(__builtin_cpu_supports("avx512f")) &&
                             static_cast<bool>(__builtin_cpu_supports("avx512bw"));
  return answer;
}

#define CS_WIDE __attribute__((target("avx512f,avx512bw")))
#define CS_WIDE_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) inline

namespace {

// The compilers' own vector types: one register each. Sixteen numbers, or eight.
using Lanes32 = std::uint32_t __attribute__((vector_size(64)));
using Lanes64 = std::uint64_t __attribute__((vector_size(64)));

// FIPS 180-4, 5.3.3 and 4.2.2.
constexpr std::array<std::uint32_t, 8> start{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr std::array<std::uint32_t, 64> constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Of each 128 bits of both the first half, or the second, by turns.
CS_WIDE_INLINE Lanes32 low32(const Lanes32& a, const Lanes32& b) noexcept {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
}
CS_WIDE_INLINE Lanes32 high32(const Lanes32& a, const Lanes32& b) noexcept {
  return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
}
CS_WIDE_INLINE Lanes64 low64(const Lanes64& a, const Lanes64& b) noexcept {
  return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
}
CS_WIDE_INLINE Lanes64 high64(const Lanes64& a, const Lanes64& b) noexcept {
  return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}
// The first and third, or the second and fourth 128 bits of both.
CS_WIDE_INLINE Lanes64 even128(const Lanes64& a, const Lanes64& b) noexcept {
  return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13);
}
CS_WIDE_INLINE Lanes64 odd128(const Lanes64& a, const Lanes64& b) noexcept {
  return __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
}

// Rows become columns: four rows of four times 128 bits, every `step` of them, in place.
template <std::size_t step, class Row, std::size_t rows>
CS_WIDE_INLINE void transpose128(std::array<Row, rows>& r) noexcept {
  for (std::size_t i = 0; i < step; ++i) {
    const auto a = __builtin_bit_cast(Lanes64, r[i]);
    const auto b = __builtin_bit_cast(Lanes64, r[i + step]);
    const auto c = __builtin_bit_cast(Lanes64, r[i + 2 * step]);
    const auto d = __builtin_bit_cast(Lanes64, r[i + 3 * step]);
    const Lanes64 first = even128(a, b), second = odd128(a, b);
    const Lanes64 third = even128(c, d), fourth = odd128(c, d);
    r[i] = __builtin_bit_cast(Row, even128(first, third));
    r[i + step] = __builtin_bit_cast(Row, even128(second, fourth));
    r[i + 2 * step] = __builtin_bit_cast(Row, odd128(first, third));
    r[i + 3 * step] = __builtin_bit_cast(Row, odd128(second, fourth));
  }
}

// Sixteen rows of sixteen numbers.
CS_WIDE_INLINE void transpose(std::array<Lanes32, 16>& r) noexcept {
  for (std::size_t i = 0; i < 16; i += 4) {
    const auto a = __builtin_bit_cast(Lanes64, low32(r[i], r[i + 1]));
    const auto b = __builtin_bit_cast(Lanes64, high32(r[i], r[i + 1]));
    const auto c = __builtin_bit_cast(Lanes64, low32(r[i + 2], r[i + 3]));
    const auto d = __builtin_bit_cast(Lanes64, high32(r[i + 2], r[i + 3]));
    r[i] = __builtin_bit_cast(Lanes32, low64(a, c));
    r[i + 1] = __builtin_bit_cast(Lanes32, high64(a, c));
    r[i + 2] = __builtin_bit_cast(Lanes32, low64(b, d));
    r[i + 3] = __builtin_bit_cast(Lanes32, high64(b, d));
  }
  transpose128<4>(r);
}

// Eight rows of eight numbers.
CS_WIDE_INLINE void transpose(std::array<Lanes64, 8>& r) noexcept {
  for (std::size_t i = 0; i < 8; i += 2) {
    const Lanes64 a = low64(r[i], r[i + 1]), b = high64(r[i], r[i + 1]);
    r[i] = a;
    r[i + 1] = b;
  }
  transpose128<2>(r);
}

template <unsigned n>
CS_WIDE_INLINE Lanes32 right(const Lanes32& x) noexcept {
  return (x >> n) | (x << (32 - n));
}
template <unsigned n>
CS_WIDE_INLINE Lanes64 left(const Lanes64& x) noexcept {
  return (x << n) | (x >> (64 - n));
}

// The bytes of each number in the other order.
CS_WIDE_INLINE Lanes32 swapped(const Lanes32& x) noexcept {
  return (right<8>(x) & 0xff00ff00U) | (right<24>(x) & 0x00ff00ffU);
}

}  // namespace

CS_WIDE void sha256(const std::array<const std::uint8_t*, hashes>& blocks,
                    const std::array<std::uint8_t*, hashes>& out) noexcept {
  std::array<Lanes32, 16> w;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled at once
  for (std::size_t i = 0; i < hashes; ++i) {
    std::memcpy(&w[i], blocks[i], sizeof(w[i]));
    w[i] = swapped(w[i]);
  }
  transpose(w);
  std::array<Lanes32, 16> s{};
  for (std::size_t i = 0; i < start.size(); ++i) s[i] += start[i];
  Lanes32 a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
#pragma GCC unroll 64
  for (std::size_t t = 0; t < constants.size(); ++t) {
    Lanes32& word = w[t % 16];
    if (t >= 16) {
      const Lanes32 x = w[(t + 1) % 16], y = w[(t + 14) % 16];
      word += (right<7>(x) ^ right<18>(x) ^ (x >> 3U)) + w[(t + 9) % 16] +
              (right<17>(y) ^ right<19>(y) ^ (y >> 10U));
    }
    const Lanes32 first = h + (right<6>(e) ^ right<11>(e) ^ right<25>(e)) + ((e & f) | (~e & g)) +
                          (word + constants[t]);
    const Lanes32 second = (right<2>(a) ^ right<13>(a) ^ right<22>(a)) + ((a & b) | (c & (a | b)));
    h = g, g = f, f = e, e = d + first;
    d = c, c = b, b = a, a = first + second;
  }
  const std::array<Lanes32, 8> ends{a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < ends.size(); ++i) s[i] = swapped(s[i] + ends[i]);
  transpose(s);
  for (std::size_t i = 0; i < hashes; ++i) std::memcpy(out[i], &s[i], 32);
}

namespace {

struct SipState {
  Lanes64 v0, v1, v2, v3;

  CS_WIDE_INLINE void round() noexcept {
    v0 += v1;
    v2 += v3;
    v1 = left<13>(v1) ^ v0;
    v3 = left<16>(v3) ^ v2;
    v0 = left<32>(v0) + v3;
    v2 += v1;
    v3 = left<21>(v3) ^ v0;
    v1 = left<17>(v1) ^ v2;
    v2 = left<32>(v2);
  }
  CS_WIDE_INLINE void take(const Lanes64& words) noexcept {
    v3 ^= words;
    round();
    round();
    v0 ^= words;
  }
};

}  // namespace

CS_WIDE void siphash24(const std::array<std::uint8_t*, tags>& messages, std::size_t size,
                       const std::array<const std::uint8_t*, tags>& keys,
                       const std::array<std::uint8_t*, tags>& out) noexcept {
  const std::size_t words = size / 8 + 1;
  Lanes64 low{}, high{};
  for (std::size_t i = 0; i < tags; ++i) {
    std::memset(messages[i] + size, 0, words * 8 - size);
    messages[i][words * 8 - 1] = static_cast<std::uint8_t>(size);
    std::uint64_t half = 0;
    std::memcpy(&half, keys[i], 8);
    low[i] = half;
    std::memcpy(&half, keys[i] + 8, 8);
    high[i] = half;
  }
  SipState state{low ^ 0x736f6d6570736575U, high ^ 0x646f72616e646f6dU, low ^ 0x6c7967656e657261U,
                 high ^ 0x7465646279746573U};
  for (std::size_t at = 0; at < words; at += 8) {
    std::array<Lanes64, 8> columns;  // NOLINT(cppcoreguidelines-pro-type-member-init): likewise
    for (std::size_t i = 0; i < tags; ++i)
      std::memcpy(&columns[i], messages[i] + at * 8, sizeof(columns[i]));
    transpose(columns);
    for (std::size_t i = 0; i < 8 && at + i < words; ++i) state.take(columns[i]);
  }
  state.v2 ^= 0xffU;
  for (int i = 0; i < 4; ++i) state.round();
  const Lanes64 sums = state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
  for (std::size_t i = 0; i < tags; ++i) {
    const std::uint64_t sum = sums[i];
    std::memcpy(out[i], &sum, 8);
  }
}

}  // namespace cs::wide
// NOLINTEND(readability-isolate-declaration)
