// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/mtu.h"

#include <algorithm>

namespace cs::mtu {
namespace {

constexpr std::size_t ipv4_header = 20;
constexpr std::size_t ipv6_header = 40;
constexpr std::size_t udp_header = 8;
constexpr std::size_t esp_header = 8;   // SPI, sequence number
constexpr std::size_t esp_trailer = 2;  // pad length, next header
constexpr std::size_t ah_fixed = 12;    // AH without its ICV
// No overhead that could be measured is larger; so an inner packet of any size can be added.
constexpr std::size_t max_overhead = 1024;

constexpr std::size_t align(std::size_t size, std::size_t to) noexcept {
  return (size + to - 1) / to * to;
}

std::size_t ip_header(const Encapsulation& sa) noexcept {
  return sa.outer_ipv6 ? ipv6_header : ipv4_header;
}

// Without extension.
std::size_t ah_header(const Encapsulation& sa) noexcept {
  return align(ah_fixed + sa.icv, sa.ah_align4 && !sa.outer_ipv6 ? 4 : 8);
}

// With the padding it may need: docs/WIRE.md, section 2.
std::size_t padded(const Encapsulation& sa, std::size_t extension) noexcept {
  const bool in_eights = sa.protocol == Protocol::ah && sa.outer_ipv6;
  return in_eights ? align(extension, 8) : extension;
}

// ESP pads what it encrypts, with its trailer, to the cipher's blocks and at least to 4 bytes.
std::size_t esp_size(const Encapsulation& sa, std::size_t plain) noexcept {
  return (sa.udp ? udp_header : 0) + esp_header + sa.iv +
         align(plain + esp_trailer, align(sa.block, 4)) + sa.icv;
}

Result<void> check(const Question& question) {
  const auto invalid = [](const char* what) { return Error(ErrorKind::invalid, what); };
  const Encapsulation& sa = question.sa;
  if (question.path > max_packet) return invalid("planning the MTU: the path's is above 65535");
  if (question.path < (sa.outer_ipv6 ? least_ipv6 : 68)) {
    return invalid("planning the MTU: the path's is below what IP allows");
  }
  if (sa.udp && sa.protocol == Protocol::ah) {
    return invalid("planning the MTU: AH does not go in UDP");
  }
  constexpr std::size_t longest = 64;  // of IVs, ICVs and blocks of any cipher
  if (sa.iv > longest || sa.icv > longest || sa.block > longest || sa.block == 0) {
    return invalid("planning the MTU: no cipher has such sizes");
  }
  if (sa.measured.value_or(0) > max_overhead) {
    return invalid("planning the MTU: the measured overhead is above 1024 bytes");
  }
  if (question.batch == 0 || question.batch > max_batch) {
    return invalid("planning the MTU: a batch has 1 to 32768 packets");
  }
  const std::size_t least = question.inner_ipv6 ? least_ipv6 : least_ipv4;
  if (question.configured != 0 && question.configured < least) {
    return Error(ErrorKind::invalid, "planning the MTU: the inner MTU configured, " +
                                         std::to_string(question.configured) + ", is below " +
                                         std::to_string(least));
  }
  return {};
}

Error too_small(const Question& question, std::size_t least, std::ptrdiff_t left) {
  return Error(ErrorKind::limit, "planning the MTU: at a path MTU of " +
                                     std::to_string(question.path) + " an inner packet of " +
                                     std::to_string(least) + " bytes leaves " +
                                     std::to_string(std::max<std::ptrdiff_t>(left, 0)) +
                                     " bytes for the extension; it has at least " +
                                     std::to_string(padded(question.sa, fixed_extension)))
      .with_hint(
          "set mtu.policy = \"fragment\" in the configuration, or use a path with a larger MTU");
}

}  // namespace

std::size_t outer_size(const Encapsulation& sa, std::size_t inner, std::size_t extension) noexcept {
  const std::size_t grown =
      padded(sa, extension) + (sa.translated && !sa.udp ? translation_size : 0);
  if (sa.measured) return inner + *sa.measured + grown;
  const bool tunnel = sa.mode == Mode::tunnel;
  const std::size_t plain = tunnel ? inner : inner - std::min(inner, ip_header(sa));
  const std::size_t body =
      sa.protocol == Protocol::ah ? ah_header(sa) + plain : esp_size(sa, plain);
  return ip_header(sa) + body + grown;
}

// outer_size() grows with `inner` in steps of a cipher's block. So this starts from what would fit
// if the best-filled block were the rule, and steps down.
std::size_t inner_mtu(const Encapsulation& sa, std::size_t path, std::size_t extension) noexcept {
  const std::size_t least = sa.mode == Mode::transport ? ip_header(sa) + 1 : 1;
  const std::size_t overhead = outer_size(sa, least, extension) - least;
  if (outer_size(sa, least, extension) > path) return 0;
  // One byte may be padded by a block less one; an inner packet that fills its blocks has none.
  std::size_t inner = path - std::min(path, overhead) + align(sa.block, 4);
  while (inner > least && outer_size(sa, inner, extension) > path) --inner;
  return inner;
}

std::ptrdiff_t room(const Encapsulation& sa, std::size_t path, std::size_t inner) noexcept {
  return static_cast<std::ptrdiff_t>(path) - static_cast<std::ptrdiff_t>(outer_size(sa, inner, 0));
}

std::uint32_t largest_batch(const Encapsulation& sa, Suite suite, std::ptrdiff_t room,
                            std::uint32_t wanted) noexcept {
  const auto fits = [&](std::uint32_t count) {
    return static_cast<std::ptrdiff_t>(padded(sa, largest_extension(suite, count))) <= room;
  };
  if (wanted == 0 || !fits(1)) return 0;
  if (fits(wanted)) return wanted;
  // Paths grow by a node where a power of two is passed.
  std::uint32_t count = 1;
  while (count < wanted / 2 + 1 && fits(count * 2)) count *= 2;
  return std::min(count, wanted);
}

Result<Plan> plan(const Question& question) {
  CS_CHECK(check(question));
  const Encapsulation& sa = question.sa;
  const std::size_t least = question.inner_ipv6 ? least_ipv6 : least_ipv4;
  const std::ptrdiff_t left = room(sa, question.path, least);
  Plan plan;
  plan.batch = question.batch;
  if (question.policy == Policy::cap) {
    plan.batch = largest_batch(sa, question.suite, left, question.batch);
    if (plan.batch == 0) return too_small(question, least, left);
  }
  plan.extension = padded(sa, largest_extension(question.suite, plan.batch));
  const std::size_t fits = inner_mtu(sa, question.path, plan.extension);
  plan.fragments = fits < least;
  plan.inner_mtu = std::max(fits, least_ipv4);
  if (question.configured != 0) plan.inner_mtu = std::min(plan.inner_mtu, question.configured);
  plan.inner_mtu_ipv6 = std::max(plan.inner_mtu, least_ipv6);
  return plan;
}

}  // namespace cs::mtu
