// SPDX-License-Identifier: GPL-3.0-or-later
#include <linux/netlink.h>

#include <algorithm>
#include <array>

#include "xfrm/install/request.h"
#include "xfrm/state/fields.h"
#include "xfrm/state/raw.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using netlink::Request;

constexpr std::uint32_t max_key_bits = 8192;
constexpr std::uint32_t largest_short_window = 32;  // beyond, and for ESN, it has a bitmap
constexpr std::uint32_t largest_window = XFRMA_REPLAY_ESN_MAX;
constexpr std::size_t name_size = 64;

// As the kernel's structures of algorithms begin, which end in an array of no size.
struct Head {
  std::array<char, name_size> name{};
  std::uint32_t key_bits = 0;
  std::uint32_t icv_bits = 0;  // only where there is an ICV
};
static_assert(sizeof(Head) == sizeof(xfrm_algo_aead) && sizeof(Head) == sizeof(xfrm_algo_auth));
static_assert(offsetof(Head, icv_bits) == sizeof(xfrm_algo));

Error refused(const Sa& sa, ErrorKind kind, const std::string& why) {
  return {kind, name_of(sa) + ": " + why};
}

Result<std::size_t> key_size(const Sa& sa, const std::optional<Algorithm>& algorithm) {
  if (!algorithm) return std::size_t{0};
  if (algorithm->name.empty() || algorithm->name.size() >= name_size ||
      algorithm->name.find('\0') != std::string::npos) {
    return refused(sa, ErrorKind::invalid, "the name of an algorithm is none");
  }
  if (algorithm->key_bits % 8 != 0 || algorithm->key_bits > max_key_bits) {
    return refused(
        sa, ErrorKind::invalid,
        algorithm->name + " with a key of " + std::to_string(algorithm->key_bits) + " bits");
  }
  return std::size_t{algorithm->key_bits / 8};
}

Result<void> check_algorithms(const Sa& sa, std::size_t keys) {
  if (sa.compression) return refused(sa, ErrorKind::unsupported, "IPComp is not installed");
  const auto& integrity = sa.aead ? sa.aead : sa.authentication;
  if (!integrity || integrity->key_bits == 0) {
    return refused(sa, ErrorKind::invalid, "it authenticates nothing")
        .with_hint("give it an AEAD, or an authentication algorithm besides its encryption");
  }
  if (sa.aead && (sa.encryption || sa.authentication)) {
    return refused(sa, ErrorKind::invalid, "an AEAD encrypts and authenticates alone");
  }
  std::size_t size = 0;
  for (const auto* algorithm : {&sa.aead, &sa.encryption, &sa.authentication}) {
    CS_TRY(const std::size_t one, key_size(sa, *algorithm));
    size += one;
  }
  if (size == keys) return {};
  return refused(
      sa, ErrorKind::invalid,
      "its algorithms take " + std::to_string(size) + " bytes of key, not " + std::to_string(keys));
}

Result<void> check_replay(const Sa& sa) {
  if (sa.direction != SaDirection::out && sa.replay.window == 0) {
    return refused(sa, ErrorKind::invalid, "a replay window of 0 lets every packet in again")
        .with_hint("give it at least 32, better 1024");
  }
  if (sa.replay.window <= largest_window) return {};
  return refused(sa, ErrorKind::limit, "a replay window above " + std::to_string(largest_window));
}

Result<void> check(const Sa& sa, std::size_t keys) {
  CS_CHECK(check_algorithms(sa, keys));
  CS_CHECK(check_replay(sa));
  if (sa.source.ipv6 != sa.id.destination.ipv6) {
    return refused(sa, ErrorKind::invalid, "its ends are not of one family");
  }
  if (sa.id.spi == 0) return refused(sa, ErrorKind::invalid, "it has no SPI");
  if (sa.security_context.empty() && sa.unknown.empty()) return {};
  return refused(sa, ErrorKind::unsupported,
                 "security contexts and unknown attributes are not installed");
}

void fill(xfrm_usersa_info& fixed, const Sa& sa, std::uint32_t tag) {
  fixed.sel = raw::selector(sa.selector);
  fixed.id.daddr = raw::address(sa.id.destination);
  fixed.id.spi = htonl(sa.id.spi);
  fixed.id.proto = sa.id.protocol;
  fixed.saddr = raw::address(sa.source);
  fixed.lft = raw::lifetime(sa.lifetime);
  fixed.seq = tag;
  fixed.reqid = sa.reqid;
  fixed.family = raw::family(sa.id.destination);
  fixed.mode = static_cast<std::uint8_t>(sa.mode);
  fixed.flags = sa.flags;
  if (sa.replay.extended) fixed.flags |= Sa::flag_extended;
  if (sa.selector.any_family) fixed.flags |= Sa::flag_any_family;
}

// Takes the algorithm's key from the front of what is left of the keys.
void put_algorithm(Request& request, std::uint16_t type, const std::optional<Algorithm>& algorithm,
                   ByteView& keys) {
  if (!algorithm) return;
  Head head;
  std::copy(algorithm->name.begin(), algorithm->name.end(), head.name.begin());
  head.key_bits = algorithm->key_bits;
  head.icv_bits = algorithm->icv_bits;
  const bool icv = type == XFRMA_ALG_AEAD || type == XFRMA_ALG_AUTH_TRUNC;
  const std::size_t size = algorithm->key_bits / 8;
  request.put(type, raw::bytes_of(head).first(icv ? sizeof(head) : sizeof(xfrm_algo)),
              keys.first(size));
  keys = keys.subspan(size);
}

void put_replay(Request& request, xfrm_usersa_info& fixed, const Replay& replay) {
  if (!replay.extended && replay.window <= largest_short_window) {
    fixed.replay_window = static_cast<std::uint8_t>(replay.window);
    return;
  }
  // An empty bitmap may be left out.
  xfrm_replay_state_esn window{};
  window.bmp_len = (replay.window + 31) / 32;
  window.replay_window = replay.window;
  request.put(XFRMA_REPLAY_ESN_VAL, raw::bytes_of(window));
}

void put_settings(Request& request, const Sa& sa) {
  raw::put_mark(request, sa.id.mark);
  raw::put_offload(request, sa.offload);
  raw::put_interface(request, sa.interface_id);
  if (sa.encapsulation) {
    xfrm_encap_tmpl out{};
    out.encap_type = sa.encapsulation->type;
    out.encap_sport = htons(sa.encapsulation->source_port);
    out.encap_dport = htons(sa.encapsulation->destination_port);
    request.put(XFRMA_ENCAP, raw::bytes_of(out));
  }
  if (sa.output_mark.mask != 0) {
    request.put_u32(XFRMA_SET_MARK, sa.output_mark.value);
    request.put_u32(XFRMA_SET_MARK_MASK, sa.output_mark.mask);
  }
  if (sa.extra_flags != 0) request.put_u32(XFRMA_SA_EXTRA_FLAGS, sa.extra_flags);
  if (sa.tfc_pad != 0) request.put_u32(XFRMA_TFCPAD, sa.tfc_pad);
  const auto direction = static_cast<std::uint8_t>(sa.direction);
  if (direction != 0) request.put(fields::attribute_sa_direction, raw::bytes_of(direction));
}

}  // namespace

Result<Request> add_sa_request(const SaWithKeys& with_keys, std::uint32_t tag) {
  const Sa& sa = with_keys.sa;
  CS_CHECK(check(sa, with_keys.keys.size()));
  Request request(XFRM_MSG_NEWSA, 0);
  auto& fixed = request.fixed<xfrm_usersa_info>();
  fill(fixed, sa, tag);
  ByteView keys = with_keys.keys.bytes();
  put_algorithm(request, XFRMA_ALG_AEAD, sa.aead, keys);
  put_algorithm(request, XFRMA_ALG_CRYPT, sa.encryption, keys);
  put_algorithm(request, XFRMA_ALG_AUTH_TRUNC, sa.authentication, keys);
  put_replay(request, fixed, sa.replay);
  put_settings(request, sa);
  if (!request.ok()) return refused(sa, ErrorKind::limit, "its request is too long");
  return request;
}

Request delete_sa_request(const SaId& id) {
  return raw::about(XFRM_MSG_DELSA, id);
}

}  // namespace cs::xfrm
