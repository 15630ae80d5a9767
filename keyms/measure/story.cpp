// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/story.h"

#include <algorithm>
#include <string_view>

namespace cs::keyms {

namespace {

using tpm::CelEvent;

// Of an event that has a digest: the log's reader and its writer hold that to 32 bytes.
std::optional<Hash> hash_of(ByteView content) {
  Hash hash{};
  if (content.size() != hash.size()) return {};
  std::ranges::copy(content, hash.begin());
  return hash;
}

std::string_view text_of(ByteView content) {
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

// Which register an event stands in; drift and healing stand in both.
bool belongs(CelEvent event, StoryOf of) {
  switch (event) {
    case CelEvent::drift:
    case CelEvent::healing:
      return true;
    case CelEvent::core_properties:
    case CelEvent::configuration:
      return of == StoryOf::static_register;
    case CelEvent::certificate_valid:
    case CelEvent::certificate_revoked:
    case CelEvent::measured:
      return of == StoryOf::event_register;
    case CelEvent::foreign:
      return false;  // only at the log's beginning
  }
  return false;
}

}  // namespace

Error RegisterStory::wrong(ErrorKind kind, std::string_view what) const {
  return {kind, "event log: record " + std::to_string(records_) + ": " + std::string(what)};
}

Result<RegisterStory> RegisterStory::read(StoryOf of, ByteView log,
                                          std::span<const tpm::Digest> known) {
  RegisterStory story(of);
  if (log.empty()) return story;
  CS_TRY(tpm::CelLog reader, tpm::CelLog::open(log));
  tpm::CelRecord record;
  for (;;) {
    CS_TRY(const bool more, reader.next(record));
    if (!more) return story;
    if (record.event == CelEvent::foreign) {
      CS_CHECK(story.add_foreign(reader, record, known));
    } else {
      CS_CHECK(story.add(record.event, record.content));
    }
  }
}

// Any record of ours can be passed off as a foreign one, so its text counts for nothing.
Result<void> RegisterStory::add_foreign(const tpm::CelLog& log, const tpm::CelRecord& record,
                                        std::span<const tpm::Digest> known) {
  if (own_) return wrong(ErrorKind::invalid, "a foreign event after one of ours");
  for (std::size_t i = 0; i < log.banks().size(); ++i) {
    CS_TRY(const tpm::Digest digest, tpm::Digest::from(log.banks()[i], record.digests.at(i)));
    if (std::ranges::find(known, digest) != known.end()) continue;
    return wrong(ErrorKind::unverified, "a foreign event that nothing explains, " +
                                            std::string(to_string(digest.algorithm())) + ":" +
                                            digest.hex())
        .with_hint("find out what extends this register, or take another");
  }
  ++records_;
  return {};
}

Result<void> RegisterStory::check(CelEvent event, ByteView content) const {
  if (const auto fault = fault_of(event, content); !fault.empty()) {
    return wrong(ErrorKind::invalid, std::string(name_of(event)) + ": " + std::string(fault));
  }
  return {};
}

Result<void> RegisterStory::add(CelEvent event, ByteView content) {
  CS_CHECK(check(event, content));
  const std::uint64_t number = records_++;
  own_ = true;
  const std::string text(text_of(content));
  const Hash hash = hash_of(content).value_or(Hash{});
  switch (event) {
    case CelEvent::core_properties:
      values_.push_back({hash, number});
      break;
    case CelEvent::configuration:
      configuration_ = {hash, number};
      break;
    case CelEvent::certificate_valid:
      valid_.emplace(hash, number);
      break;
    case CelEvent::certificate_revoked:
      valid_.erase(hash);
      revoked_.emplace(hash, number);
      break;
    case CelEvent::measured:
      measured_ = {hash, number};
      break;
    case CelEvent::drift:
      drifts_.emplace(text, number);
      break;
    case CelEvent::healing:
      healed_.push_back({text, drifts_.extract(text).mapped(), number});
      break;
    case CelEvent::foreign:
      break;  // check() has refused it
  }
  return {};
}

// Empty if it may come next.
std::string_view RegisterStory::fault_of(CelEvent event, ByteView content) const {
  if (name_of(event).empty()) return "an event of no known type";
  if (!belongs(event, of_)) return "it does not belong into this register";
  if (has_text(event)) return fault_of_text(event, text_of(content));
  const auto hash = hash_of(content);
  if (!hash) return "the digest has not 32 bytes";
  if (event == CelEvent::core_properties) return fault_of_value(*hash);
  if (event == CelEvent::configuration) {
    return configuration_ ? "there is one already: it is of a whole boot" : "";
  }
  if (event == CelEvent::measured) {
    return measured_ && measured_->hash == *hash ? "the same as was measured last" : "";
  }
  return fault_of_certificate(event, *hash);
}

std::string_view RegisterStory::fault_of_value(const Hash& value) const {
  if (values_.size() == max_values) return "more than 4096 policies in one boot";
  const auto same = [&value](const Logged& logged) { return logged.hash == value; };
  if (std::ranges::any_of(values_, same)) return "that policy came into force before";
  if (!configuration_ && !values_.empty() && value < values_.back().hash) {
    return "the first ones are in ascending order";
  }
  return {};
}

std::string_view RegisterStory::fault_of_certificate(CelEvent event, const Hash& hash) const {
  if (event == CelEvent::certificate_revoked) {
    return valid_.contains(hash) ? "" : "it was not valid";
  }
  if (revoked_.contains(hash)) return "it was revoked, and is so for good";
  return valid_.contains(hash) ? "it is valid already" : "";
}

std::string_view RegisterStory::fault_of_text(CelEvent event, std::string_view text) const {
  const bool open = drifts_.contains(text);
  if (event == CelEvent::healing) return open ? "" : "there is no such drift to heal";
  return open ? "it was told, and not healed since" : "";
}

}  // namespace cs::keyms
