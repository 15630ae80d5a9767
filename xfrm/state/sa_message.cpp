// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <linux/xfrm.h>

#include <algorithm>

#include "xfrm/state/fields.h"
#include "xfrm/state/message.h"

namespace cs::xfrm {
namespace {

using fields::broken;
using netlink::Attribute;

// The kernel's structures of algorithms and windows end in arrays of no size, which only a copy
// without that array can hold.
struct AlgorithmHead {
  std::array<char, 64> name;
  std::uint32_t key_bits;
};
struct WindowHead {
  std::uint32_t words;
  std::uint32_t sent;
  std::uint32_t received;
  std::uint32_t sent_high;
  std::uint32_t received_high;
  std::uint32_t window;
};
static_assert(sizeof(AlgorithmHead) == sizeof(xfrm_algo));
static_assert(sizeof(AlgorithmHead) + 4 == sizeof(xfrm_algo_aead));
static_assert(sizeof(AlgorithmHead) + 4 == sizeof(xfrm_algo_auth));
static_assert(sizeof(WindowHead) == sizeof(xfrm_replay_state_esn));

enum class Icv : std::uint8_t { none, told };

// The key is looked at for nothing but being there.
Result<Algorithm> algorithm(const Attribute& attribute, Icv icv) {
  CS_TRY(const auto head, fields::structure<AlgorithmHead>(attribute.value, "an algorithm"));
  ByteView left = attribute.value.subspan(sizeof(head));
  Algorithm out;
  if (icv == Icv::told) {
    CS_TRY(out.icv_bits, fields::structure<std::uint32_t>(left, "an ICV's length"));
    left = left.subspan(sizeof(out.icv_bits));
  }
  const auto* const end = std::ranges::find(head.name, '\0');
  if (end == head.name.end() || end == head.name.begin()) {
    return broken("an algorithm without a name");
  }
  out.name.assign(head.name.begin(), end);
  out.key_bits = head.key_bits;
  if ((std::uint64_t{out.key_bits} + 7) / 8 > left.size()) {
    return broken("a key of " + out.name + " that ends early");
  }
  return out;
}

Result<void> read_replay(const Attribute& attribute, Replay& replay) {
  CS_TRY(const auto raw, fields::structure<WindowHead>(attribute.value, "a replay window"));
  if (raw.words > (attribute.value.size() - sizeof(raw)) / sizeof(std::uint32_t)) {
    return broken("a replay window that ends early");
  }
  replay.window = raw.window;
  replay.sent = (std::uint64_t{raw.sent_high} << 32U) | raw.sent;
  replay.received = (std::uint64_t{raw.received_high} << 32U) | raw.received;
  return {};
}

Result<void> read_short_replay(const Attribute& attribute, Replay& replay) {
  CS_TRY(const auto raw, fields::number<xfrm_replay_state>(attribute));
  replay.sent = raw.oseq;
  replay.received = raw.seq;
  return {};
}

Result<void> read_direction(const Attribute& attribute, SaDirection& direction) {
  CS_TRY(const auto raw, fields::number<std::uint8_t>(attribute));
  if (raw != 1 && raw != 2) return broken("an SA's direction " + std::to_string(raw));
  direction = raw == 1 ? SaDirection::in : SaDirection::out;
  return {};
}

Result<void> read_encapsulation(const Attribute& attribute, Sa& sa) {
  CS_TRY(const auto raw, fields::number<xfrm_encap_tmpl>(attribute));
  sa.encapsulation = {raw.encap_type, ntohs(raw.encap_sport), ntohs(raw.encap_dport)};
  return {};
}

Result<void> read_algorithm(const Attribute& attribute, Sa& sa) {
  switch (attribute.type) {
    case XFRMA_ALG_AEAD: {
      CS_TRY(sa.aead, algorithm(attribute, Icv::told));
      return {};
    }
    case XFRMA_ALG_CRYPT: {
      CS_TRY(sa.encryption, algorithm(attribute, Icv::none));
      return {};
    }
    case XFRMA_ALG_COMP: {
      CS_TRY(sa.compression, algorithm(attribute, Icv::none));
      return {};
    }
    case XFRMA_ALG_AUTH_TRUNC: {
      CS_TRY(sa.authentication, algorithm(attribute, Icv::told));
      return {};
    }
    default: {  // XFRMA_ALG_AUTH: the older form of the same, without the ICV's length
      CS_TRY(Algorithm older, algorithm(attribute, Icv::none));
      if (!sa.authentication) sa.authentication = std::move(older);
      return {};
    }
  }
}

Result<void> read_setting(const Attribute& attribute, Sa& sa) {
  switch (attribute.type) {
    case XFRMA_MARK: {
      CS_TRY(sa.id.mark, fields::mark(attribute));
      return {};
    }
    case XFRMA_SET_MARK: {
      CS_TRY(sa.output_mark.value, fields::number<std::uint32_t>(attribute));
      if (sa.output_mark.mask == 0) sa.output_mark.mask = ~0U;  // older kernels tell no mask
      return {};
    }
    case XFRMA_SET_MARK_MASK: {
      CS_TRY(sa.output_mark.mask, fields::number<std::uint32_t>(attribute));
      return {};
    }
    case XFRMA_IF_ID: {
      CS_TRY(sa.interface_id, fields::number<std::uint32_t>(attribute));
      return {};
    }
    case XFRMA_SA_EXTRA_FLAGS: {
      CS_TRY(sa.extra_flags, fields::number<std::uint32_t>(attribute));
      return {};
    }
    case XFRMA_TFCPAD: {
      CS_TRY(sa.tfc_pad, fields::number<std::uint32_t>(attribute));
      return {};
    }
    case XFRMA_LASTUSED: {
      CS_TRY(sa.last_used, fields::number<std::uint64_t>(attribute));
      return {};
    }
    case XFRMA_OFFLOAD_DEV: {
      CS_TRY(sa.offload, fields::offload(attribute));
      return {};
    }
    case XFRMA_SEC_CTX: {
      CS_TRY(sa.security_context, fields::security_context(attribute));
      return {};
    }
    default:
      return fields::keep_unknown(attribute, sa.unknown);
  }
}

Result<void> read_attribute(const Attribute& attribute, Sa& sa) {
  switch (attribute.type) {
    case XFRMA_PAD:
    case XFRMA_SA:  // of a deletion: read already
      return {};
    case XFRMA_ALG_AEAD:
    case XFRMA_ALG_CRYPT:
    case XFRMA_ALG_COMP:
    case XFRMA_ALG_AUTH:
    case XFRMA_ALG_AUTH_TRUNC:
      return read_algorithm(attribute, sa);
    case XFRMA_ENCAP:
      return read_encapsulation(attribute, sa);
    case XFRMA_REPLAY_VAL:
      return read_short_replay(attribute, sa.replay);
    case XFRMA_REPLAY_ESN_VAL:
      return read_replay(attribute, sa.replay);
    case fields::attribute_sa_direction:
      return read_direction(attribute, sa.direction);
    default:
      return read_setting(attribute, sa);
  }
}

}  // namespace

Result<Sa> fields::sa(const xfrm_usersa_info& info, ByteView payload, std::size_t fixed) {
  Sa out;
  CS_TRY(out.id.destination, address(info.id.daddr, info.family));
  CS_TRY(out.source, address(info.saddr, info.family));
  out.id.spi = ntohl(info.id.spi);
  out.id.protocol = info.id.proto;
  CS_TRY(out.mode, mode(info.mode));
  CS_TRY(out.selector, selector(info.sel));
  out.reqid = info.reqid;
  out.flags = info.flags;
  out.replay.window = info.replay_window;
  out.replay.extended = (info.flags & Sa::flag_extended) != 0;
  out.lifetime = lifetime(info.lft);
  out.usage = usage(info.curlft);
  out.window_failures = info.stats.replay_window;
  out.replay_failures = info.stats.replay;
  out.integrity_failures = info.stats.integrity_failed;
  CS_CHECK(each_attribute(
      payload, fixed, [&](const Attribute& attribute) { return read_attribute(attribute, out); }));
  return out;
}

Result<Sa> parse_sa(ByteView payload) {
  CS_TRY(const auto info, fields::structure<xfrm_usersa_info>(payload, "an SA"));
  return fields::sa(info, payload, sizeof(info));
}

}  // namespace cs::xfrm
