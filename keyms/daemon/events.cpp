// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/events.h"

#include <syslog.h>
#include <systemd/sd-journal.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/rfc3339.h"

namespace cs::keyms {

using nlohmann::json;

namespace {

constexpr std::array<EventText, event_kind_count> texts{{
    {EventKind::started, "started", "4028ee131eac40028c73c612cb8bef5f", LOG_INFO},
    {EventKind::stopping, "stopping", "bad8a02377b34b6cab1c23ef6ddd9d82", LOG_INFO},
    {EventKind::granted, "granted", "c52ad9e4bbea4e6c88e5f4ab5fc4309c", LOG_NOTICE},
    {EventKind::denied, "denied", "947b887f0eb54197be0d23318a93c5cd", LOG_ERR},
    {EventKind::attempt, "attempt", "cddd67dc0fca49bbbe19610b35eb0548", LOG_WARNING},
    {EventKind::notice, "notice", "3d95f6347b1940978f81aa0b58a28a89", LOG_NOTICE},
    {EventKind::drift, "drift", "6a33d841cc4044f48804d7e6938825f7", LOG_ERR},
    {EventKind::healed, "healed", "19aeef78229d49608f7c8b7385bad238", LOG_NOTICE},
    {EventKind::sa_refused, "sa-refused", "8f3030d512854ff3b57599ea1c005101", LOG_ERR},
    {EventKind::key, "key", "6695acdcc7424de284ae3746b72c71e8", LOG_INFO},
    {EventKind::policy, "policy", "455e1594004c49c19420d3c1cae393c0", LOG_NOTICE},
    {EventKind::trouble, "trouble", "a01beef8583a48dd858be0654e433ea6", LOG_WARNING},
}};

std::string line_of(const Event& event) {
  std::string line = event.peer.empty() ? "" : event.peer + ": ";
  if (!event.reason.empty()) line += event.reason + ": ";
  return line + event.text;
}

void to_journal(const Event& event, const EventText& text, const std::string& line) {
  const int sent = ::sd_journal_send(
      "MESSAGE=%s", line.c_str(), "PRIORITY=%i", text.priority, "MESSAGE_ID=%s",
      std::string(text.message_id).c_str(), "EVENT=%s", std::string(text.name).c_str(), "PEER=%s",
      event.peer.c_str(), "REASON=%s", event.reason.c_str(), nullptr);
  // Without a journal systemd's prefix tells the priority, to who reads standard error.
  if (sent < 0) std::cerr << '<' << text.priority << '>' << line << std::endl;
}

}  // namespace

const EventText& text_of(EventKind kind) noexcept {
  return texts.at(static_cast<std::size_t>(kind));
}

Events::Events(const Clock& clock, Journal journal)
    : clock_(&clock), journal_(journal ? std::move(journal) : to_journal) {}

void Events::follow(std::function<void(const json&)> follower) {
  follower_ = std::move(follower);
}

json Events::json_of(const Kept& kept) {
  return {{"schema_version", 1},
          {"number", kept.number},
          {"time", format_rfc3339(kept.at)},
          {"event", text_of(kept.event.kind).name},
          {"message_id", text_of(kept.event.kind).message_id},
          {"peer", kept.event.peer},
          {"reason", kept.event.reason},
          {"text", kept.event.text},
          {"count", kept.count}};
}

void Events::tell(Event event) {
  const auto same = [&](const Kept& kept) {
    return kept.event.kind == event.kind && kept.event.peer == event.peer &&
           kept.event.reason == event.reason && kept.event.text == event.text;
  };
  const auto last = std::find_if(kept_.rbegin(), kept_.rend(), same);
  if (last != kept_.rend() && clock_->boot() < last->since + quiet_for) {
    ++last->count;
    return;
  }
  Kept kept{std::move(event), ++number_, clock_->wall(), clock_->boot()};
  std::string line = line_of(kept.event);
  if (last != kept_.rend() && last->count > 1)
    line += " (and " + std::to_string(last->count - 1) + " times before)";
  journal_(kept.event, text_of(kept.event.kind), line);
  if (follower_) follower_(json_of(kept));
  kept_.push_back(std::move(kept));
  if (kept_.size() > most_kept) kept_.pop_front();
}

json Events::lately() const {
  json out = json::array();
  for (const Kept& kept : kept_) out.push_back(json_of(kept));
  return out;
}

}  // namespace cs::keyms
