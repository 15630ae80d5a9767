// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/link.h"

#include <memory>
#include <utility>

namespace cs::keyms {

void Link::open_epoch(KeyPair keys) {
  const auto shared = std::make_shared<const KeyPair>(std::move(keys));
  ++epochs_;
  // The peer may not have said anything yet under the one before.
  if (next_) receiving_ = std::move(next_);
  next_ = Epoch{epochs_, shared, 0};
  if (role_ == Role::initiator) sending_ = Epoch{epochs_, shared, 0};
}

Result<Bytes> Link::seal(const Sealed& message) {
  if (!sending_) return Error(ErrorKind::closed, "nothing was granted on this channel yet");
  CS_TRY(Bytes bytes, seal_message(message, {sending_->number, sending_->messages},
                                   sending_->keys->at(index(role_))));
  ++sending_->messages;
  said_ = clock_->boot();
  return bytes;
}

Result<Sealed> Link::open(const Envelope& envelope) {
  const bool begins = next_ && envelope.numbering.epoch == next_->number;
  std::optional<Epoch>& of = begins ? next_ : receiving_;
  if (!of || envelope.numbering.epoch != of->number) {
    return Error(ErrorKind::invalid, std::string(to_string(envelope.type)) + " of epoch " +
                                         std::to_string(envelope.numbering.epoch) +
                                         ", which does not count");
  }
  CS_CHECK(verify_envelope(envelope, of->keys->at(index(other(role_)))));
  if (envelope.numbering.number != of->messages)
    return Error(ErrorKind::invalid, "a message of the link is missing or repeated");
  // The initiator says ready first, once, and nobody else does.
  const bool ready = envelope.type == MessageType::ready;
  if (ready != (role_ == Role::responder && of->messages == 0))
    return Error(ErrorKind::invalid, std::string(to_string(envelope.type)) + " out of turn");
  CS_TRY(Sealed message, decode_sealed(envelope));
  ++of->messages;
  if (begins) {
    receiving_ = std::exchange(next_, std::nullopt);
    if (role_ == Role::responder) sending_ = Epoch{receiving_->number, receiving_->keys, 0};
  }
  heard_ = clock_->boot();
  return message;
}

}  // namespace cs::keyms
