// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/log_transfer.h"

#include <algorithm>
#include <utility>

namespace cs::keyms {

Result<void> LogPull::want(std::vector<Wanted> wanted) {
  std::uint64_t left = most_pulled;
  for (const Wanted& one : wanted) {
    if (one.size > left) {
      return Error(ErrorKind::limit, std::string(to_string(one.log)) + " has " +
                                         std::to_string(one.size) +
                                         " bytes to pull: of all logs together at most " +
                                         std::to_string(most_pulled) + " are");
    }
    left -= one.size;
    // Nothing new of it: where it would go on is known all the same.
    if (one.size == 0) pieces_.at(static_cast<std::size_t>(one.log)) = one;
  }
  std::erase_if(wanted, [](const Wanted& one) { return one.size == 0; });
  wanted_ = std::move(wanted);
  return {};
}

std::optional<Get> LogPull::next() {
  if (current_ == wanted_.size()) return {};
  const Wanted& wanted = wanted_.at(current_);
  const std::uint64_t have = logs_.at(static_cast<std::size_t>(wanted.log)).size();
  const std::uint64_t length = std::min<std::uint64_t>(wanted.size - have, most_get);
  asked_ = have + length;
  return Get{wanted.log, wanted.offset + have, static_cast<std::uint32_t>(length)};
}

Result<bool> LogPull::take(const Part& part) {
  if (current_ == wanted_.size()) return Error(ErrorKind::invalid, "a part nobody has asked for");
  const Wanted& wanted = wanted_.at(current_);
  const auto index = static_cast<std::size_t>(wanted.log);
  Bytes& log = logs_.at(index);
  if (part.log != wanted.log || part.offset != wanted.offset + log.size() ||
      part.bytes.size() != std::min<std::uint64_t>(most_part, asked_ - log.size())) {
    return Error(ErrorKind::invalid, "a part that was not asked for");
  }
  log.insert(log.end(), part.bytes.begin(), part.bytes.end());
  if (log.size() < asked_) return false;
  if (log.size() == wanted.size) {
    pieces_.at(index) = wanted;
    ++current_;
  }
  return true;
}

void LogPull::forget() {
  for (Bytes& log : logs_) log = {};
}

LogAllowance::LogAllowance(const std::array<std::uint64_t, log_count>& sizes) : sizes_(sizes) {
  for (const std::uint64_t size : sizes) left_ += 2 * size;
}

Result<void> LogAllowance::take(const Get& get) {
  const std::uint64_t size = sizes_.at(static_cast<std::size_t>(get.log));
  if (get.offset > size || get.length > size - get.offset)
    return Error(ErrorKind::invalid, std::string(to_string(get.log)) + " is not that long");
  const std::uint64_t cost = std::max<std::uint64_t>(get.length, least_of_a_get);
  if (cost > left_) return Error(ErrorKind::limit, "the logs were asked for again and again");
  left_ -= cost;
  return {};
}

}  // namespace cs::keyms
