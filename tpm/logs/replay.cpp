// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/replay.h"

#include <algorithm>
#include <vector>

namespace cs::tpm {

namespace {

using Kind = Divergence::Kind;

class Trial {
 public:
  Trial(HashAlgorithm bank, std::span<const Extension> extensions)
      : hasher_(bank), extensions_(extensions) {}

  // The value before each extension, and after the last.
  [[nodiscard]] std::vector<Digest> values_from(const Digest& start) {
    std::vector<Digest> values{start};
    for (const Extension& extension : extensions_) {
      values.push_back(extended(values.back(), extension));
    }
    return values;
  }
  // What extensions[first] and those after it make of `value`.
  [[nodiscard]] Digest rest(Digest value, std::size_t first) {
    for (const Extension& extension : extensions_.subspan(first)) {
      value = extended(value, extension);
    }
    return value;
  }
  [[nodiscard]] Digest extended(const Digest& value, const Extension& extension) {
    return hasher_.hash({value.bytes(), extension.digest});
  }

 private:
  Hasher hasher_;
  std::span<const Extension> extensions_;
};

Digest started_at(HashAlgorithm bank, std::uint8_t locality) {
  Digest start(bank);
  start.bytes().back() = locality;
  return start;
}

}  // namespace

Divergence explain(const Digest& start, std::span<const Extension> extensions, const Digest& value,
                   bool localities) {
  if (extensions.empty()) return {.kind = Kind::no_event};
  Trial trial(start.algorithm(), extensions);
  const std::vector<Digest> before = trial.values_from(start);
  for (std::size_t i = 0; i < extensions.size(); ++i) {
    if (before[i] == value) return {.kind = Kind::log_goes_on, .event = extensions[i].event};
  }
  const std::size_t first = extensions.front().event;
  for (std::uint8_t locality = 0; localities && locality <= last_locality; ++locality) {
    if (trial.rest(started_at(start.algorithm(), locality), 0) == value) {
      return {.kind = Kind::other_start, .event = first, .locality = locality};
    }
  }
  for (std::size_t i = 0; extensions.size() <= most_tried && i < extensions.size(); ++i) {
    const std::size_t event = extensions[i].event;
    if (trial.rest(before[i], i + 1) == value) return {.kind = Kind::left_out, .event = event};
    if (trial.rest(trial.extended(before[i + 1], extensions[i]), i + 1) == value) {
      return {.kind = Kind::doubled, .event = event};
    }
  }
  return {.kind = Kind::unexplained, .event = first};
}

std::string Divergence::text() const {
  const std::string name = "event " + std::to_string(event);
  switch (kind) {
    case Kind::no_bank:
      return "the log does not have a digest of this bank for each of its events";
    case Kind::no_event:
      return "the log has no event of this PCR, yet it is not as after a reset";
    case Kind::log_goes_on:
      return "it is what the log makes of it before " + name + ", which was never extended";
    case Kind::left_out:
      return name + " is in the log, but was never extended; all others were";
    case Kind::doubled:
      return name + " was extended twice";
    case Kind::other_start:
      return "it started at locality " + std::to_string(locality) + ", which the log does not say";
    case Kind::unexplained:
      break;
  }
  return "no single event explains it; the first to doubt is " + name;
}

}  // namespace cs::tpm
