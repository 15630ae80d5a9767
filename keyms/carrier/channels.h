// SPDX-License-Identifier: GPL-3.0-or-later
// Which channels of one connection are there: docs/PROTOCOL.md, "Channels". Each end keeps one of
// these. A channel's number is free again when both ends have closed it, so nothing that is still
// on its way can be taken for another channel's.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/result.h"

namespace cs::keyms::carrier {

class Channels {
 public:
  static constexpr std::size_t most = 1024;

  [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }
  [[nodiscard]] bool is_open(std::uint32_t channel) const {
    const auto found = ends_.find(channel);
    return found != ends_.end() && found->second == End::none;
  }

  Result<void> open(std::uint32_t channel) {
    if (ends_.size() >= most)
      return Error(ErrorKind::limit, "more than " + std::to_string(most) + " channels are open");
    if (ends_.emplace(channel, End::none).second) return {};
    return wrong(channel, "is there already");
  }
  // Before something is sent: it must be open at both ends.
  [[nodiscard]] Result<void> check_open(std::uint32_t channel) const {
    if (is_open(channel)) return {};
    return wrong(channel, "is not open");
  }
  // Whether what arrived is to be handed on. False: it crossed our own close. Refused: the other
  // end sends on a channel that it never opened, or has closed.
  [[nodiscard]] Result<bool> arrived(std::uint32_t channel) const {
    const auto found = ends_.find(channel);
    if (found == ends_.end() || found->second == End::there) return wrong(channel, "is not open");
    return found->second == End::none;
  }
  // We close it, or deny it, which we may do once.
  Result<void> close_here(std::uint32_t channel) {
    const auto found = ends_.find(channel);
    if (found == ends_.end() || found->second == End::here) return wrong(channel, "is not open");
    if (found->second == End::there) {
      ends_.erase(found);
    } else {
      found->second = End::here;
    }
    return {};
  }
  // The other end closes it, or denies it. Whether that is news.
  Result<bool> close_there(std::uint32_t channel) {
    const auto found = ends_.find(channel);
    if (found == ends_.end() || found->second == End::there) return wrong(channel, "is not open");
    const bool is_news = found->second == End::none;
    if (is_news) {
      found->second = End::there;
    } else {
      ends_.erase(found);
    }
    return is_news;
  }

 private:
  enum class End : std::uint8_t { none, here, there };  // which of the two has closed it
  static Error wrong(std::uint32_t channel, const std::string& why) {
    return {ErrorKind::invalid, "channel " + std::to_string(channel) + " " + why};
  }
  std::unordered_map<std::uint32_t, End> ends_;
};

}  // namespace cs::keyms::carrier
