// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/xfrm/watch_report.h"

#include <array>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/rfc3339.h"
#include "tools/inspect/outcome.h"
#include "tools/xfrm/json.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Event::Kind;

bool tells_all(Kind kind) noexcept {
  return kind == Kind::sa_new || kind == Kind::sa_update || kind == Kind::policy_new ||
         kind == Kind::policy_update;
}

// The lines of a description in one.
std::string in_one_line(const std::string& lines) {
  std::string out;
  std::size_t from = 0;
  for (std::size_t to = lines.find('\n'); to != std::string::npos; to = lines.find('\n', from)) {
    const std::size_t word = lines.find_first_not_of(' ', from);
    out += "; " + lines.substr(word, to - word);
    from = to + 1;
  }
  return out;
}

std::string subject(const Event& event) {
  std::string out;
  if (event.sa) out += " " + name_of(*event.sa);
  // What wants the SA that is told.
  if (event.policy) out += (event.sa ? ", for " : " ") + name_of(*event.policy);
  if (event.kind == Kind::sa_flush) out += " of " + ipsec_protocol(event.flushed);
  if (event.kind == Kind::unknown) out += " " + std::to_string(event.message);
  if (event.moved_to) {
    out += ", now from " + event.moved_to->text() + " port " + std::to_string(event.moved_to_port);
  }
  if (event.defaults) {
    out += " in " + std::string(text(event.defaults->in)) + ", fwd " +
           std::string(text(event.defaults->forward)) + ", out " +
           std::string(text(event.defaults->out));
  }
  return out;
}

std::string sentence_of(const Event& event) {
  std::string out = std::string(text(event.kind)) + ":" + subject(event);
  if (event.kind == Kind::sa_expire || event.kind == Kind::policy_expire) {
    out += event.hard ? ", it has gone" : ", a new one is due";
  }
  if (!tells_all(event.kind)) return out;
  return out + in_one_line(event.sa ? describe(*event.sa) : describe(*event.policy));
}

Json json_of(const Event& event) {
  Json json = Json::object();
  json["port"] = event.port;
  if (event.sa) json["sa"] = to_json(*event.sa);
  if (event.policy) json["policy"] = to_json(*event.policy);
  if (event.defaults) json["default_policy"] = to_json(*event.defaults);
  if (event.kind == Kind::sa_expire || event.kind == Kind::policy_expire) json["hard"] = event.hard;
  if (event.kind == Kind::sa_flush) json["protocol"] = ipsec_protocol(event.flushed);
  if (event.kind == Kind::unknown) json["message"] = event.message;
  if (event.moved_to) {
    json["moved_to"] = event.moved_to->text();
    json["moved_to_port"] = event.moved_to_port;
  }
  return json;
}

std::string sentence_of(const InterfaceSwitches& switches) {
  std::string on;
  if (switches.disable_xfrm) on += ", disable_xfrm: what leaves by it is not encrypted";
  if (switches.disable_policy) on += ", disable_policy: what comes in clear is taken";
  if (switches.disable_policy_ipv6) on += ", disable_policy of IPv6: likewise";
  return "interface " + switches.name + (on.empty() ? ", IPsec is on" : on);
}

}  // namespace

std::string_view code_of(Kind kind) noexcept {
  constexpr std::array<std::string_view, 18> codes{
      "sa_new",     "sa_update",     "sa_delete",      "sa_flush",     "sa_expire",     "sa_replay",
      "policy_new", "policy_update", "policy_delete",  "policy_flush", "policy_expire", "acquire",
      "mapping",    "migrate",       "default_policy", "report",       "unknown"};
  const auto index = static_cast<std::size_t>(kind);
  return index < codes.size() ? codes.at(index) : "unknown";
}

void WatchReport::write(std::string_view code, const std::string& sentence, const Json& more) {
  const std::string time = format_rfc3339(clock_.wall());
  if (!json_) {
    out_ << time << " " << detail::one_line(sentence) << "\n";
    return;
  }
  Json json{{"schema_version", inspect::schema_version}, {"time", time}, {"event", code}};
  json.update(more);
  out_ << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

void WatchReport::began(const State& state) {
  write("began",
        "following " + std::to_string(state.policies.size()) + " policies and " +
            std::to_string(state.sas.size()) + " SAs",
        {{"policies", state.policies.size()}, {"sas", state.sas.size()}});
}

void WatchReport::change(const Change& change) {
  if (change.how == Change::How::lost) {
    return write("lost", "events were lost; all is read anew", Json::object());
  }
  const bool found = change.how == Change::How::found;
  const std::string how = found ? "not told by the kernel: " : "";
  if (change.interface) {
    return write("interface", how + sentence_of(*change.interface),
                 {{"told", false}, {"interface", to_json(*change.interface)}});
  }
  Json json{{"told", !found}};
  json.update(json_of(change.event));
  write(code_of(change.event.kind), how + sentence_of(change.event), json);
}

void WatchReport::drift(const Difference& one, bool begun) {
  const Meaning& meant = meaning(one.code);
  Json json{{"code", meant.name},
            {"severity", text(meant.severity)},
            {"sentence", one.sentence},
            {"hint", meant.hint}};
  if (!begun) return write("drift_ended", "drift ended: " + one.sentence, json);
  write("drift", "drift: " + one.sentence + "; " + std::string(meant.hint), json);
}

void WatchReport::ended(const MirrorCounters& counters) {
  const auto number = [](std::uint64_t count) { return std::to_string(count); };
  write("ended",
        number(counters.events) + " events, lost some " + number(counters.lost) + " times, " +
            number(counters.audits) + " audits, " + number(counters.repairs) +
            " changes that were not told",
        {{"events", counters.events},
         {"lost", counters.lost},
         {"audits", counters.audits},
         {"repairs", counters.repairs}});
}

}  // namespace cs::xfrm
