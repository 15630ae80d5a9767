// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <limits>

#include "base/constant_time.h"
#include "base/hkdf.h"
#include "keyms/session/message_bodies.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t most_u32 = std::numeric_limits<std::uint32_t>::max();

struct Kind {
  MessageType type;
  std::string_view name;
  Result<Sealed> (*read)(CborReader&);  // null: it has no HMAC
};
constexpr std::array kinds{Kind{MessageType::refuse, "refuse", nullptr},
                           Kind{MessageType::initiator_hello, "the initiator's hello", nullptr},
                           Kind{MessageType::responder_hello, "the responder's hello", nullptr},
                           Kind{MessageType::evidence, "evidence", read_evidence},
                           Kind{MessageType::get, "get", read_get},
                           Kind{MessageType::part, "part", read_part},
                           Kind{MessageType::result, "result", read_result},
                           Kind{MessageType::final, "final", read_final},
                           Kind{MessageType::denied, "denied", read_denied},
                           Kind{MessageType::ready, "ready", read_ready},
                           Kind{MessageType::alive, "alive", read_alive},
                           Kind{MessageType::sas, "sas", read_sas},
                           Kind{MessageType::sas_gone, "sas_gone", read_gone},
                           Kind{MessageType::notice, "notice", read_notice},
                           Kind{MessageType::deny, "deny", read_deny}};

const Kind* find_kind(MessageType type) noexcept {
  const auto* const found = std::ranges::find(kinds, type, &Kind::type);
  return found == kinds.end() ? nullptr : found;
}

Result<MessageType> read_type(CborReader& in) {
  CS_TRY(const std::uint64_t number, in.number("its type", 0xff));
  const auto type = static_cast<MessageType>(number);
  if (to_string(type).empty()) return in.wrong("its type", "is unknown");
  return type;
}

std::size_t parts_of(MessageType type) noexcept {
  if (type <= MessageType::responder_hello) return 2;
  return is_of_link(type) ? 4 : 3;
}

constexpr std::string_view document = "a message of the session";

// Up to the body.
Result<Envelope> read_front(CborReader& in) {
  CS_TRY(const std::size_t parts, in.array("it", 4));
  Envelope envelope;
  CS_TRY(envelope.type, read_type(in));
  if (parts != parts_of(envelope.type)) return in.wrong("it", "has not the parts of its type");
  if (is_of_link(envelope.type)) {
    CS_TRY(const std::uint64_t epoch, in.number("its epoch", most_u32));
    envelope.numbering.epoch = static_cast<std::uint32_t>(epoch);
  }
  if (parts > 2) {
    CS_TRY(envelope.numbering.number, in.number("its number"));
  }
  return envelope;
}

}  // namespace

std::string_view to_string(MessageType type) noexcept {
  const Kind* const kind = find_kind(type);
  return kind == nullptr ? std::string_view() : kind->name;
}

MessageType type_of(const Sealed& message) noexcept {
  constexpr std::array types{MessageType::evidence, MessageType::get,    MessageType::part,
                             MessageType::result,   MessageType::final,  MessageType::denied,
                             MessageType::ready,    MessageType::alive,  MessageType::sas,
                             MessageType::sas_gone, MessageType::notice, MessageType::deny};
  static_assert(types.size() == std::variant_size_v<Sealed>);
  return types.at(message.index());
}

Result<Bytes> seal_message(const Sealed& message, const Numbering& numbering,
                           const SecretBytes& key) {
  const MessageType type = type_of(message);
  CborWriter out(max_session_message - hmac_size);
  out.array(parts_of(type)).number(static_cast<std::uint8_t>(type));
  if (is_of_link(type)) out.number(numbering.epoch);
  out.number(numbering.number);
  std::visit([&out](const auto& body) { write(out, body); }, message);
  CS_TRY(Bytes sealed, out.finish("a message of the session"));
  Hmac mac{};
  CS_CHECK(hmac_sha256(key.bytes(), {sealed}, mac));
  sealed.insert(sealed.end(), mac.begin(), mac.end());
  // What we would refuse ourselves does not go out.
  CS_TRY(const Envelope envelope, open_envelope(sealed));
  CS_TRY([[maybe_unused]] const Sealed again, decode_sealed(envelope));
  return sealed;
}

Result<Bytes> encode_refuse(const Refuse& refuse) {
  CborWriter out(max_session_message);
  out.array(2).number(static_cast<std::uint8_t>(MessageType::refuse));
  write(out, refuse.reason);
  return out.finish("refuse");
}

Result<Envelope> open_envelope(ByteView message) {
  if (message.size() > max_session_message) {
    return Error(ErrorKind::limit, "a message of the session has " +
                                       std::to_string(message.size()) + " bytes: at most " +
                                       std::to_string(max_session_message));
  }
  CborReader in(message, document);
  CS_TRY(Envelope envelope, read_front(in));
  if (envelope.type <= MessageType::responder_hello) {
    envelope.authenticated = message;
    return envelope;
  }
  if (message.size() < in.position() + hmac_size) return in.wrong("it", "has no HMAC");
  envelope.authenticated = message.first(message.size() - hmac_size);
  envelope.mac = message.last(hmac_size);
  return envelope;
}

Result<void> verify_envelope(const Envelope& envelope, const SecretBytes& key) {
  Hmac expected{};
  CS_CHECK(hmac_sha256(key.bytes(), {envelope.authenticated}, expected));
  if (constant_time_equal(expected, envelope.mac)) return {};
  return Error(ErrorKind::unverified, std::string(to_string(envelope.type)) +
                                          " is not authenticated by the session's key");
}

Result<Sealed> decode_sealed(const Envelope& envelope) {
  CborReader in(envelope.authenticated, to_string(envelope.type));
  CS_TRY([[maybe_unused]] const Envelope front, read_front(in));
  const Kind* const kind = find_kind(envelope.type);
  if (kind == nullptr || kind->read == nullptr) return in.wrong("it", "has no HMAC");
  CS_TRY(Sealed message, kind->read(in));
  CS_CHECK(in.end());
  return message;
}

Result<Refuse> decode_refuse(const Envelope& envelope) {
  CborReader in(envelope.authenticated, "refuse");
  CS_TRY([[maybe_unused]] const Envelope front, read_front(in));
  Refuse out;
  CS_TRY(out.reason, read_reason(in));
  CS_CHECK(in.end());
  return out;
}

std::string as_text(std::string_view words) {
  // The one sign of our own sentences that is no ASCII.
  constexpr std::string_view arrow = "→";
  std::string out(words);
  for (std::size_t at = 0; (at = out.find(arrow, at)) != std::string::npos;)
    out.replace(at, arrow.size(), "->");
  out.resize(std::min(out.size(), most_text));
  std::ranges::replace_if(
      out, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  if (out.empty()) out = "no reason given";
  return out;
}

}  // namespace cs::keyms
