// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/registers.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"

namespace cs::keyms {

namespace {

using tpm::CelEvent;
using tpm::CelRegister;

constexpr std::string_view full = "log-full: ";  // no code of a finding

ByteView view_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string text_of(const Hash& hash) {
  constexpr std::size_t shown = 8;
  return hex_encode(ByteView(hash).first(shown)) + "...";
}

std::unique_ptr<tpm::OwnRegister> own_pcr(std::uint32_t index, const tpm::Device& device) {
  return std::make_unique<tpm::OwnPcr>(index, device.capabilities().banks);
}

std::unique_ptr<tpm::OwnRegister> event_register(const RegisterOptions& options,
                                                 const tpm::Device& device) {
  if (options.events.kind == CelRegister::Kind::pcr) return own_pcr(options.events.number, device);
  return std::make_unique<tpm::OwnIndex>(
      tpm::ExtendIndex(options.events.number, options.index_auth), *options.session);
}

Error refused(std::string_view role, std::uint32_t pcr, std::string_view why) {
  return {ErrorKind::invalid, "PCR " + std::to_string(pcr) + " as the " + std::string(role) +
                                  " register: " + std::string(why)};
}

Result<void> check_pcr(std::string_view role, std::uint32_t pcr, bool resettable) {
  if (pcr == 16 || pcr == 23) {
    if (resettable) return {};
    return refused(role, pcr, "root can reset it, and with it all that was told")
        .with_hint("take one of 8 to 15, or say in the policy that a resettable one will do");
  }
  if (pcr == 10) return refused(role, pcr, "it is IMA's").with_hint("take another of 8 to 15");
  if (pcr >= 8 && pcr <= 15) return {};
  return refused(role, pcr, pcr < 8 ? "it is the firmware's" : "it is none of ours")
      .with_hint("take one of 8 to 15");
}

}  // namespace

Result<void> check_registers(const RegisterOptions& options) {
  CS_CHECK(check_pcr("static", options.static_pcr, options.resettable));
  if (options.events.kind == CelRegister::Kind::pcr) {
    if (options.events.number == options.static_pcr) {
      return refused("event", options.static_pcr, "it is the static register already");
    }
    return check_pcr("event", options.events.number, options.resettable);
  }
  if (options.events.number < tpm::ExtendIndex::first ||
      options.events.number > tpm::ExtendIndex::last) {
    return Error(ErrorKind::invalid, "an NV index as the event register: it is none of ours")
        .with_hint("take one from 0x01d10225 to 0x01d105ff");
  }
  return {};
}

Registers::Registers(RegisterOptions options, InForce wanted, tpm::Device& device)
    : options_(std::move(options)),
      wanted_(std::move(wanted)),
      static_{own_pcr(options_.static_pcr, device), RegisterStory(StoryOf::static_register)},
      events_{event_register(options_, device), RegisterStory(StoryOf::event_register)} {}

Result<Registers> Registers::open(tpm::Device& device, RegisterOptions options, InForce wanted) {
  CS_CHECK(check_registers(options));
  if (options.events.kind == CelRegister::Kind::nv_index && options.session == nullptr)
    return Error(ErrorKind::internal, "an NV index as the event register needs a session");
  Registers registers(std::move(options), std::move(wanted), device);
  CS_CHECK(registers.reopen(device));
  return registers;
}

Result<void> Registers::reopen(tpm::Device& device) {
  static_.log.reset();
  events_.log.reset();
  CS_CHECK(static_.open(device, options_.place, options_.explained_static));
  CS_CHECK(events_.open(device, options_.place, options_.explained_events));
  reset_count_ = device.generation().clock.reset_count;
  return extend_wanted(device);
}

// At the boot's first start all of it; after a crash within that, the rest.
Result<void> Registers::extend_wanted(tpm::Device& device) {
  const auto& values = static_.story.core_properties();
  if (static_.story.configuration() || values.size() > wanted_.policies.size()) return {};
  const auto as_logged = [](const Hash& wanted, const auto& logged) {
    return wanted == logged.hash;
  };
  const auto next = std::next(wanted_.policies.begin(), static_cast<std::ptrdiff_t>(values.size()));
  if (!std::equal(wanted_.policies.begin(), next, values.begin(), as_logged)) return {};
  for (auto value = next; value != wanted_.policies.end(); ++value) {
    CS_CHECK(static_.append(device, CelEvent::core_properties, *value));
  }
  return static_.append(device, CelEvent::configuration, wanted_.configuration);
}

Result<void> Registers::as_wanted() const {
  std::string text;
  std::string todo;
  const auto differs = [&](const std::string& what, std::string_view mends) {
    text += (text.empty() ? "" : "; ") + what;
    if (todo.find(mends) == std::string::npos) todo += std::string(mends) + ", ";
  };
  std::set<Hash> logged;
  for (const auto& value : static_.story.core_properties()) {
    logged.insert(value.hash);
    if (wanted_.policies.contains(value.hash) || wanted_.retired.contains(value.hash)) continue;
    differs("policy " + text_of(value.hash) + " came into force in this boot, record " +
                std::to_string(value.record) + ", and is not in force now",
            "apply a plan that replaces it");
  }
  for (const Hash& value : wanted_.policies) {
    if (logged.contains(value)) continue;
    differs("policy " + text_of(value) + " is in force and was not extended in this boot",
            "apply it as a plan");
  }
  const auto& configuration = static_.story.configuration();
  if (!configuration) {
    differs("the configuration was not extended in this boot", "start with what was in force");
  } else if (configuration->hash != wanted_.configuration) {
    differs("the configuration was " + text_of(configuration->hash) +
                " at this boot's start, and is " + text_of(wanted_.configuration) + " now",
            "undo the change of the configuration");
  }
  if (text.empty()) return {};
  return Error(ErrorKind::unverified, "the static register: " + text).with_hint(todo + "or reboot");
}

Result<void> Registers::apply(tpm::Device& device, const Hash& value,
                              const std::set<Hash>& instead) {
  CS_CHECK(static_.check_usable(device));
  const auto& values = static_.story.core_properties();
  const auto same = [&value](const auto& logged) { return logged.hash == value; };
  if (std::ranges::none_of(values, same)) {
    CS_CHECK(static_.append(device, CelEvent::core_properties, value));
  }
  for (const Hash& old : instead) retire(old);
  wanted_.policies.insert(value);
  return {};
}

void Registers::retire(const Hash& value) {
  wanted_.policies.erase(value);
  wanted_.retired.insert(value);
}

Result<void> Registers::certificate_valid(tpm::Device& device, const Hash& certificate) {
  CS_CHECK(events_.check_usable(device));
  if (events_.story.valid().contains(certificate)) return {};
  return events_.append(device, CelEvent::certificate_valid, certificate);
}

Result<void> Registers::certificate_revoked(tpm::Device& device, const Hash& certificate) {
  CS_CHECK(events_.check_usable(device));
  if (events_.story.revoked().contains(certificate)) return {};
  return events_.append(device, CelEvent::certificate_revoked, certificate);
}

Result<void> Registers::measured(tpm::Device& device, const Hash& policies) {
  CS_CHECK(events_.check_usable(device));
  const auto& last = events_.story.measured();
  if (last && last->hash == policies) return {};
  return events_.append(device, CelEvent::measured, policies);
}

// What could not be told when it was found is told all the same, and healed if it has gone.
Result<void> Registers::found(tpm::Device& device, std::set<xfrm::Difference> all,
                              const std::set<xfrm::Difference>& awaited) {
  std::set<std::string> open;
  for (const Part* part : {&static_, &events_}) {
    for (const auto& [text, record] : part->story.drifts()) open.insert(text);
  }
  std::erase_if(all, [&](const xfrm::Difference& one) {
    return awaited.contains(one) && !open.contains(drift_text(one));
  });
  const auto due = findings_.due(all, open, device.clock().boot());
  for (const auto& text : due) {
    if (owed_.size() < most_owed) owed_.insert(text);
  }
  std::set<std::string> first = due;
  first.insert(owed_.begin(), owed_.end());
  CS_CHECK(bring_both(device, first));
  CS_CHECK(bring_both(device, due));
  owed_.clear();
  return {};
}

// The static register first: then nothing can be unsealed any more. If one log fails the other is
// told all the same.
Result<void> Registers::bring_both(tpm::Device& device, const std::set<std::string>& drifts) {
  auto in_static = static_.bring(device, drifts);
  auto in_events = events_.bring(device, drifts);
  return in_static.ok() ? std::move(in_events) : std::move(in_static);
}

Result<void> Registers::Part::open(tpm::Device& device, const tpm::OwnLog::Place& place,
                                   const std::vector<tpm::ForeignEvent>& explained) {
  CS_TRY(auto opened, tpm::OwnLog::open(device, *own, place, explained));
  CS_TRY(const auto bytes, opened.read());
  std::vector<tpm::Digest> known;
  for (const auto& event : explained) {
    known.insert(known.end(), event.digests.begin(), event.digests.end());
  }
  CS_TRY(story, RegisterStory::read(story.of(), bytes, known));
  log.emplace(std::move(opened));
  return {};
}

Result<void> Registers::Part::check_usable(const tpm::Device& device) const {
  if (log) return log->check_usable(device);
  return Error(ErrorKind::closed, "an event log that could not be opened").with_retry(Retry::anew);
}

Result<void> Registers::Part::append(tpm::Device& device, CelEvent event, ByteView content) {
  CS_CHECK(check_usable(device));
  CS_CHECK(story.check(event, content));
  CS_CHECK(keep_room(device));
  CS_CHECK(log->append(device, event, content));
  return story.add(event, content);
}

// The last record of a log that is full says so: as drift, which then stays open.
Result<void> Registers::Part::keep_room(tpm::Device& device) {
  if (log->room() >= 2 * tpm::most_cel_record) return {};
  const std::string text = std::string(full) + "no event is told any more, a reboot is needed";
  if (!story.drifts().contains(text)) {
    CS_CHECK(log->append(device, CelEvent::drift, view_of(text)));
    CS_CHECK(story.add(CelEvent::drift, view_of(text)));
  }
  return Error(ErrorKind::limit, "an event log is full")
      .with_hint("reboot needed: a log cannot be shortened within a boot");
}

Result<void> Registers::Part::bring(tpm::Device& device, const std::set<std::string>& drifts) {
  CS_CHECK(check_usable(device));
  for (const std::string& text : drifts) {
    if (story.drifts().contains(text)) continue;
    CS_CHECK(append(device, CelEvent::drift, view_of(text)));
  }
  const RegisterStory::Drifts open = story.drifts();
  for (const auto& [text, record] : open) {
    if (drifts.contains(text)) continue;
    CS_CHECK(append(device, CelEvent::healing, view_of(text)));
  }
  return {};
}

Result<tpm::Bytes> Registers::Part::read() const {
  if (log) return log->read();
  return Error(ErrorKind::closed, "an event log that could not be opened").with_retry(Retry::anew);
}

}  // namespace cs::keyms
