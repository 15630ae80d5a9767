// SPDX-License-Identifier: GPL-3.0-or-later
// What libnftables says of the gate's table. It comes from the kernel, where root may have changed
// anything: whatever is not as nft_gate() makes it is passed over, and missed by the count.
#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

// "b.in.sa.ip": b, and the rest.
std::pair<std::string, std::string> split(const std::string& name) {
  const std::size_t dot = std::min(name.find('.'), name.size());
  return {name.substr(0, dot), name.substr(std::min(dot + 1, name.size()))};
}

class Reader : GateParts {
 public:
  void take(const Json& entry) {
    if (const auto found = entry.find("table"); found != entry.end()) take_table(*found);
    if (const auto found = entry.find("rule"); found != entry.end()) take_rule(*found);
    if (const auto found = entry.find("map"); found != entry.end()) take_map(*found);
    if (const auto found = entry.find("set"); found != entry.end()) take_set(*found);
    if (const auto found = entry.find("counter"); found != entry.end()) take_counter(*found);
  }

  [[nodiscard]] GateView finish() && { return view(GateKind::nft, awake_ && has_all_rules()); }

 private:
  // A dormant table has no hooks.
  void take_table(const Json& table) { awake_ = !table.contains("flags"); }

  void take_rule(const Json& rule) {
    ++rules_;
    const std::string comment = text_of(rule, "comment");
    if (!comment.empty()) label_ = parse_gate_label(comment);
  }

  void take_map(const Json& map) {
    const auto found = map.find("elem");
    if (found == map.end() || !found->is_array()) return;
    for (const Json& element : *found) {
      if (!element.is_array() || element.size() != 2 || !element[0].is_string()) continue;
      ++rules_;
      if (!text_of(map, "name").starts_with("out.")) continue;
      const auto jump = element[1].find("goto");
      if (jump == element[1].end()) continue;
      const auto address = Address::parse(element[0].get<std::string>());
      if (address.ok()) peer(split(text_of(*jump, "target")).first).addresses.push_back(*address);
    }
  }

  void take_set(const Json& set) {
    const auto [name, rest] = split(text_of(set, "name"));
    GatePeerView& owner = peer(name);
    const auto found = set.find("elem");
    if (found == set.end() || !found->is_array() || found->empty()) return;
    if (rest == "any") owner.opening = Opening::any;
    if (rest == "granted" && owner.opening == Opening::closed) owner.opening = Opening::listed;
    const bool in = rest.starts_with("in.sa.");
    if (!in && !rest.starts_with("out.sa.")) return;
    for (const Json& element : *found)
      take_passage(owner, in ? GateWay::in : GateWay::out, element);
  }

  static void take_passage(GatePeerView& owner, GateWay way, const Json& element) {
    const auto key = element.find("concat");
    if (key == element.end() || !key->is_array() || key->size() != 3) return;
    const Json& parts = *key;
    if (!parts[0].is_string() || !parts[1].is_string() || !parts[2].is_number_unsigned()) return;
    const auto destination = Address::parse(parts[0].get<std::string>());
    const std::string protocol = parts[1].get<std::string>();
    // Each of ESP is there for UDP as well.
    if (!destination.ok() || (protocol != "esp" && protocol != "ah")) return;
    owner.passages.push_back(
        {way, *destination,
         protocol == "esp" ? std::uint8_t{IPPROTO_ESP} : std::uint8_t{IPPROTO_AH},
         parts[2].get<std::uint32_t>()});
  }

  void take_counter(const Json& counter) {
    const auto [name, rest] = split(text_of(counter, "name"));
    const GateCount count{number_of(counter, "packets"), number_of(counter, "bytes")};
    for (std::size_t way = 0; way < gate_ways.size(); ++way) {
      const std::string words(to_string(gate_ways.at(way)));
      if (rest == "strangers" && name == words) strangers_.at(way) = count;
      for (std::size_t reason = 0; reason < gate_reasons.size(); ++reason) {
        if (rest != words + "." + std::string(to_string(gate_reasons.at(reason)))) continue;
        peer(name).counts.at(way).at(reason) = count;
      }
    }
  }

  bool awake_ = false;
};

}  // namespace

Result<GateView> nft_gate_view(std::string_view json) {
  const Json document = Json::parse(json, nullptr, false);
  const auto entries = document.is_object() ? document.find("nftables") : document.end();
  if (entries == document.end() || !entries->is_array()) {
    return Error(ErrorKind::invalid, "libnftables answers with what is not its JSON");
  }
  Reader reader;
  for (const Json& entry : *entries) {
    if (entry.is_object()) reader.take(entry);
  }
  return std::move(reader).finish();
}

}  // namespace cs::xfrm
