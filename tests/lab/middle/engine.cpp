// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/lab/middle/engine.h"

#include <algorithm>
#include <array>

namespace cs::middle {

using test::IpView;
using test::QueuedPacket;
using test::Verdict;

void Engine::take(const QueuedPacket& packet, Time now) {
  const auto ip = test::parse_ip(packet.payload);
  if (!ip) {
    ++statistics_.malformed;
    return output_.decide(packet.id, Verdict::drop());
  }
  if (plan_.family && ip->family != *plan_.family) {
    return output_.decide(packet.id, Verdict::accept());
  }
  ++statistics_.seen;
  if (held_) {  // this is the one that overtakes
    output_.decide(packet.id, Verdict::accept());
    return release();
  }
  if (!is_wanted()) return output_.decide(packet.id, Verdict::accept());
  act(packet, *ip, now);
}

bool Engine::is_wanted() const {
  return statistics_.seen % plan_.every == 0 && statistics_.acted < plan_.limit;
}

void Engine::act(const QueuedPacket& packet, const IpView& ip, Time now) {
  switch (plan_.action) {
    case Action::pass:
      ++statistics_.acted;
      return output_.decide(packet.id, Verdict::accept());
    case Action::drop:
      ++statistics_.acted;
      return output_.decide(packet.id, Verdict::drop());
    case Action::duplicate:
      ++statistics_.acted;
      output_.decide(packet.id, Verdict::accept());
      return inject(packet.payload);
    case Action::reorder:
      ++statistics_.acted;
      held_ = Held{packet.id, now + kHold};
      return;
    case Action::corrupt:
      return corrupt(packet, ip);
    case Action::replay:
      return remember(packet, now);
    case Action::atomic:
      return make_atomic_fragment(packet, ip);
  }
}

void Engine::corrupt(const QueuedPacket& packet, const IpView& ip) {
  const auto size = static_cast<std::int64_t>(ip.payload.size());
  const std::int64_t at = plan_.offset < 0 ? size + plan_.offset : plan_.offset;
  // Too short to have that byte: nothing to do, and the header is not ours to touch.
  if (at < 0 || at >= size) return output_.decide(packet.id, Verdict::accept());
  ++statistics_.acted;
  test::Bytes changed(packet.payload.begin(), packet.payload.end());
  changed[ip.header_size + static_cast<std::size_t>(at)] ^= 1;
  output_.decide(packet.id, Verdict::replace(std::move(changed)));
}

void Engine::make_atomic_fragment(const QueuedPacket& packet, const IpView& ip) {
  constexpr std::size_t header = 40;
  constexpr std::size_t most = header + 0xffff;
  constexpr std::uint8_t fragment = 44;
  const bool fits = packet.payload.size() + 8 <= most;
  if (ip.family != test::Family::v6 || !fits) return output_.decide(packet.id, Verdict::accept());
  ++statistics_.acted;
  test::Bytes changed(packet.payload.begin(), packet.payload.end());
  const auto id = static_cast<std::uint8_t>(statistics_.acted);
  const std::array<std::uint8_t, 8> inserted{changed[6], 0, 0, 0, 0, 0, 0, id};
  changed.insert(changed.begin() + header, inserted.begin(), inserted.end());
  changed[6] = fragment;
  const std::size_t length = changed.size() - header;
  changed[4] = static_cast<std::uint8_t>(length >> 8);
  changed[5] = static_cast<std::uint8_t>(length);
  output_.decide(packet.id, Verdict::replace(std::move(changed)));
}

void Engine::remember(const QueuedPacket& packet, Time now) {
  if (remembered_.size() < kRemembered) {
    ++statistics_.acted;
    remembered_.push_back({{packet.payload.begin(), packet.payload.end()}, now + kReplayDelay});
  }
  output_.decide(packet.id, Verdict::accept());
}

std::optional<Engine::Time> Engine::deadline() const {
  if (held_) return held_->until;
  if (!remembered_.empty()) return remembered_.front().due;
  return std::nullopt;
}

void Engine::tick(Time now) {
  if (held_ && held_->until <= now) release();
  while (!remembered_.empty() && remembered_.front().due <= now) {
    inject(remembered_.front().packet);
    remembered_.pop_front();
  }
}

void Engine::release() {
  output_.decide(held_->id, Verdict::accept());
  held_.reset();
}

void Engine::inject(ByteView packet) {
  ++(output_.inject(packet) ? statistics_.reinjected : statistics_.failed);
}

void Engine::finish() {
  if (held_) release();
  remembered_.clear();
}

}  // namespace cs::middle
