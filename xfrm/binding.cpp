// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/binding.h"

#include <linux/xfrm.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "base/hkdf.h"
#include "xfrm/install/request.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/message.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using netlink::Attribute;
using netlink::Message;

constexpr std::string_view label = "cs-bind";

// The keys where the kernel's answer has them.
struct Keys {
  ByteView aead;
  ByteView encryption;
  ByteView authentication;
};

ByteView key_in(const Attribute& attribute, std::size_t head, const Algorithm& algorithm) {
  const std::size_t size = (std::size_t{algorithm.key_bits} + 7) / 8;
  if (attribute.value.size() < head || size > attribute.value.size() - head) return {};
  return attribute.value.subspan(head, size);
}

// `sa` is what the payload says, so all that it has is wholly there.
Keys keys_in(ByteView payload, const Sa& sa) {
  Keys keys;
  netlink::Attributes row(payload.subspan(sizeof(xfrm_usersa_info)));
  while (const auto attribute = row.next()) {
    if (attribute->type == XFRMA_ALG_AEAD && sa.aead) {
      keys.aead = key_in(*attribute, sizeof(xfrm_algo_aead), *sa.aead);
    }
    if (attribute->type == XFRMA_ALG_CRYPT && sa.encryption) {
      keys.encryption = key_in(*attribute, sizeof(xfrm_algo), *sa.encryption);
    }
    // The kernel tells it in the older form too, with the same key.
    if (attribute->type == XFRMA_ALG_AUTH_TRUNC && sa.authentication) {
      keys.authentication = key_in(*attribute, sizeof(xfrm_algo_auth), *sa.authentication);
    }
  }
  return keys;
}

Error refused(const Sa& sa, const std::string& why) {
  return {ErrorKind::unsupported, "binding " + name_of(sa) + ": " + why};
}

Result<void> check_key(const Sa& sa, const std::optional<Algorithm>& algorithm, ByteView key) {
  if (!algorithm || algorithm->key_bits == 0) return {};
  if (key.empty()) return refused(sa, "the kernel does not tell the key of " + algorithm->name);
  if (std::ranges::any_of(key, [](std::uint8_t byte) { return byte != 0; })) return {};
  return refused(sa, "the kernel hides the keys of SAs")
      .with_hint(
          "look at /sys/kernel/security/lockdown; with `confidentiality` the IKE daemon must "
          "supply the value");
}

Result<void> check_keys(const Keys& keys, const Sa& sa) {
  CS_CHECK(check_key(sa, sa.aead, keys.aead));
  CS_CHECK(check_key(sa, sa.encryption, keys.encryption));
  CS_CHECK(check_key(sa, sa.authentication, keys.authentication));
  if (!keys.aead.empty() || !keys.authentication.empty()) return {};
  return refused(sa, "it has no key that authenticates");
}

// Each key behind its length, so that none passes for another.
Result<SecretBytes> joined(const Keys& keys) {
  const std::array all{keys.aead, keys.encryption, keys.authentication};
  std::size_t size = 0;
  for (const ByteView key : all) {
    if (key.size() > 0xffff) return Error(ErrorKind::limit, "binding an SA: a key is too long");
    size += 2 + key.size();
  }
  CS_TRY(SecretBytes out, SecretBytes::create(size));
  std::size_t at = 0;
  for (const ByteView key : all) {
    out.bytes()[at++] = static_cast<std::uint8_t>(key.size() >> 8U);
    out.bytes()[at++] = static_cast<std::uint8_t>(key.size() & 0xffU);
    std::ranges::copy(key, out.bytes().begin() + static_cast<std::ptrdiff_t>(at));
    at += key.size();
  }
  return out;
}

}  // namespace

Result<Binding> binding_of(ByteView payload, ByteView session_id, Sense sense) {
  if (session_id.empty() || session_id.size() > max_session_id) {
    return Error(ErrorKind::invalid,
                 "binding an SA: a session id of " + std::to_string(session_id.size()) + " bytes");
  }
  CS_TRY(const Sa sa, parse_sa(payload));
  const Keys keys = keys_in(payload, sa);
  CS_CHECK(check_keys(keys, sa));
  CS_TRY(const SecretBytes material, joined(keys));
  CS_TRY(const SecretBytes pseudorandom, hkdf_extract({}, material.bytes()));
  CS_TRY(const SecretBytes key, hkdf_expand(pseudorandom.bytes(), label, hmac_size));
  std::array<std::uint8_t, 5> what{};
  store<std::endian::big>(sa.id.spi, std::span(what).first<4>());
  what[4] = static_cast<std::uint8_t>(sense);
  Binding out{};
  CS_CHECK(hmac_sha256(key.bytes(), {session_id, what}, out));
  return out;
}

Result<Binding> bind_sa(netlink::Socket& socket, const SaId& id, ByteView session_id, Sense sense) {
  std::optional<Binding> found;
  CS_CHECK(socket.ask(get_sa_request(id), "reading an SA to bind it",
                      [&](const Message& message) -> Result<void> {
                        if (message.header.nlmsg_type != XFRM_MSG_NEWSA) return {};
                        CS_TRY(const Sa sa, parse_sa(message.payload));
                        if (!(sa.id == id)) return {};
                        CS_TRY(found, binding_of(message.payload, session_id, sense));
                        return {};
                      }));
  if (found) return *found;
  return from_errno(ESRCH, "reading an SA to bind it");
}

}  // namespace cs::xfrm
