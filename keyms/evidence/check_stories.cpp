// SPDX-License-Identifier: GPL-3.0-or-later
// What its logs tell, as far as they are under the quote.
#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "base/hex.h"
#include "keyms/evidence/checks.h"

namespace cs::keyms::checks {

namespace {

std::string record_text(const char* log, std::uint64_t record) {
  return std::string(log) + ", record " + std::to_string(record);
}

const RegisterStory::Logged* find(const std::vector<RegisterStory::Logged>& logged,
                                  const Hash& value) {
  const auto found = std::ranges::find(logged, value, &RegisterStory::Logged::hash);
  return found == logged.end() ? nullptr : &*found;
}

void judge_policy(Case& c, const RegisterStory& story) {
  const auto& values = story.core_properties();
  const auto* const agreed = find(values, c.expected.core_properties);
  const std::string wanted = hex_encode(c.expected.core_properties);
  if (agreed == nullptr) {
    const std::string last = values.empty() ? "none" : hex_encode(values.back().hash);
    c.found.fails(Criterion::core_properties,
                  "expected " + wanted + ", found " + std::to_string(values.size()) +
                      " others, the last " + last,
                  "static log");
    return;
  }
  // What it replaced may have come before it in this boot, but not after it, nor beside it.
  const auto& predecessor = c.expected.policy.predecessor;
  const auto* const former = predecessor ? find(values, *predecessor) : nullptr;
  const bool applied = story.configuration() && agreed->record > story.configuration()->record;
  if (former != nullptr && (!applied || former->record > agreed->record)) {
    c.found.fails(Criterion::core_properties,
                  "expected " + wanted + " in place of its predecessor, found both in force",
                  record_text("static log", former->record));
  } else {
    c.found.holds(Criterion::core_properties, "it is", record_text("static log", agreed->record));
  }
  const std::size_t known = former == nullptr ? 1 : 2;
  c.found.compare(Criterion::core_properties_others, values.size() == known, "no other",
                  "no other policy", std::to_string(values.size() - known) + " of them",
                  "static log");
}

void judge_configuration(Case& c, const RegisterStory& story) {
  if (!story.configuration()) {
    c.found.fails(Criterion::configuration, "expected its SHA-256, found none", "static log");
    return c.found.not_checked(Criterion::configuration_changed, "it is not told");
  }
  const Hash& hash = story.configuration()->hash;
  c.next.configuration = hash;
  c.found.holds(Criterion::configuration, hex_encode(hash));
  const bool known = c.memory != nullptr && c.memory->configuration;
  c.found.compare(Criterion::configuration_changed, !known || *c.memory->configuration == hash,
                  known ? "as at the last time" : "nothing of it was seen before",
                  known ? hex_encode(*c.memory->configuration) : "", hex_encode(hash));
}

void judge_certificate(Case& c, const RegisterStory& story) {
  const Hash& hash = *c.certificate;
  const auto valid = story.valid().find(hash);
  const auto revoked = story.revoked().find(hash);
  if (revoked == story.revoked().end()) {
    c.found.holds(Criterion::certificate_revoked, "it was not");
  } else {
    c.found.fails(Criterion::certificate_revoked,
                  "expected " + hex_encode(hash) +
                      " valid, found it "
                      "revoked",
                  record_text("event log", revoked->second));
  }
  if (valid == story.valid().end() && revoked == story.revoked().end()) {
    c.found.fails(Criterion::certificate_logged,
                  "expected " + hex_encode(hash) + ", found " +
                      std::to_string(story.valid().size()) + " others that are valid",
                  "event log");
  } else {
    c.found.holds(Criterion::certificate_logged, "it stands in the log");
  }
}

void judge_measured(Case& c, const RegisterStory& story) {
  if (!story.measured()) {
    return c.found.fails(
        Criterion::spd_measured,
        "expected " + hex_encode(c.shown.spd) + ", as it is now; found nothing measured",
        "event log");
  }
  c.found.compare(Criterion::spd_measured, story.measured()->hash == c.shown.spd,
                  "as last measured", hex_encode(c.shown.spd) + ", as they are now",
                  hex_encode(story.measured()->hash),
                  record_text("event log", story.measured()->record));
}

void judge_open(Case& c, const RegisterStory& story, const char* log) {
  c.found.holds(Criterion::drift_open, "none is open");
  for (const auto& [text, record] : story.drifts()) {
    c.found.fails(Criterion::drift_open, text, record_text(log, record));
  }
}

// Each drift of a boot, whether it was healed or not, by its text.
std::set<std::string> all_drift(const RegisterStory& story) {
  std::set<std::string> all;
  for (const auto& [text, record] : story.drifts()) all.insert(text);
  for (const RegisterStory::Healed& healed : story.healed()) all.insert(healed.text);
  return all;
}

void judge_past(Case& c, const RegisterStory& story) {
  const AfterDrift rule = c.expected.policy.attestation.after_drift;
  const std::uint64_t acknowledged =
      c.same_boot && c.memory != nullptr ? c.memory->acknowledged : 0;
  c.next.acknowledged = acknowledged;
  const std::string past = std::to_string(story.healed().size()) + " in this boot, put right";
  c.found.holds(Criterion::drift_unacknowledged, past);
  c.found.holds(Criterion::drift_until_reboot, past);
  for (const RegisterStory::Healed& healed : story.healed()) {
    const std::string where = record_text("event log", healed.drift);
    if (rule == AfterDrift::reboot) {
      c.found.fails(Criterion::drift_until_reboot, healed.text, where);
    } else if (rule == AfterDrift::acknowledged && healed.drift >= acknowledged) {
      c.found.fails(Criterion::drift_unacknowledged, healed.text, where);
    }
  }
}

void judge_both(Case& c, const RegisterStory& one, const RegisterStory& other) {
  const auto in_static = all_drift(one);
  const auto in_event = all_drift(other);
  std::set<std::string> only;
  std::ranges::set_symmetric_difference(in_static, in_event, std::inserter(only, only.end()));
  if (only.empty()) {
    c.found.holds(Criterion::logs_agree, std::to_string(in_event.size()) + " drifts in either");
  } else {
    const std::string& text = *only.begin();
    c.found.fails(Criterion::logs_agree, "expected it in both, found it in one: " + text,
                  in_event.contains(text) ? "static log" : "event log");
  }
}

void skip(Case& c, std::initializer_list<Criterion> reasons) {
  for (const Criterion criterion : reasons) {
    c.found.not_checked(criterion, "there is no log of it that can be believed");
  }
}

}  // namespace

void stories(Case& c) {
  if (c.static_story) {
    judge_policy(c, *c.static_story);
    judge_configuration(c, *c.static_story);
    judge_open(c, *c.static_story, "static log");
  } else {
    skip(c, {Criterion::core_properties, Criterion::core_properties_others,
             Criterion::configuration, Criterion::configuration_changed});
  }
  if (c.event_story && c.certificate) {
    judge_certificate(c, *c.event_story);
  } else {
    skip(c, {Criterion::certificate_logged, Criterion::certificate_revoked});
  }
  if (c.event_story) {
    judge_open(c, *c.event_story, "event log");
    judge_past(c, *c.event_story);
    judge_measured(c, *c.event_story);
  } else {
    skip(c, {Criterion::drift_open, Criterion::drift_unacknowledged, Criterion::drift_until_reboot,
             Criterion::spd_measured});
  }
  if (c.static_story && c.event_story) {
    judge_both(c, *c.static_story, *c.event_story);
  } else {
    skip(c, {Criterion::logs_agree});
  }
}

}  // namespace cs::keyms::checks
