// SPDX-License-Identifier: GPL-3.0-or-later
#include <nlohmann/json.hpp>

#include "tools/bench/report.h"

namespace cs::bench {

namespace {

using Json = nlohmann::ordered_json;

constexpr int schema_version = 1;

Json latency_of(const Paced& paced) {
  return {
      {"p50", paced.p50_us}, {"p90", paced.p90_us}, {"p99", paced.p99_us}, {"loss", paced.loss}};
}

Json latency_of(const ModeResult& mode) {
  if (!mode.latency) return nullptr;
  Json all = Json::object();
  for (std::size_t i = 0; i < latency_loads.size(); ++i) {
    const Paced& paced = mode.latency->at(i);
    all[std::to_string(latency_loads.at(i))] = latency_of(paced);
  }
  all["calm"] = latency_of(mode.calm);
  return all;
}

Json mode_of(const ModeResult& mode) {
  return {{"mode", mode.mode},
          {"setup", to_string(mode.setup)},
          {"batch", mode.batch},
          {"pps", mode.pps},
          {"gbps", mode.gbps},
          {"cpu_us_per_packet", mode.cpu_us_per_packet},
          {"latency_us", latency_of(mode)},
          {"overhead_bytes", mode.overhead_bytes},
          {"memory_mib", mode.setup == Setup::live ? Json(mode.memory_mib) : Json(nullptr)},
          {"drops", mode.drops}};
}

Json point_of(const SweepPoint& point) {
  return {{"load_percent", point.load_percent},
          {"offered_pps", point.paced.offered_pps},
          {"delivered_pps", point.paced.delivered_pps},
          {"loss", point.paced.loss},
          {"p50_us", point.paced.p50_us},
          {"p90_us", point.paced.p90_us}};
}

}  // namespace

std::string json_of(const Options& options, const Results& results) {
  const bool is_p256 = options.suite == Suite::p256_node16 || options.suite == Suite::p256_node32;
  Json modes = Json::array();
  for (const ModeResult& mode : results.modes) modes.push_back(mode_of(mode));
  Json ratios = Json::object();
  for (const RatioResult& ratio : results.ratios)
    ratios[to_string(ratio.setup)][ratio.name] = ratio.value;
  Json all{{"schema_version", schema_version},
           {"size", options.size},
           {"protocol", options.protocol == Protocol::ah ? "ah" : "esp"},
           {"ip_version", options.ipv6 ? 6 : 4},
           {"suite", is_p256 ? "p256" : "ed25519"},
           {"node_size", node_size(options.suite)},
           {"queues", options.queues},
           {"rounds", options.rounds},
           {"seconds", options.seconds},
           {"steered_by", results.steered_by},
           {"modes", std::move(modes)},
           {"ratios", std::move(ratios)}};
  if (const auto& beside = results.beside_flood) {
    all["beside_flood"] = {{"good_pps", beside->offered_pps}, {"kept", 1 - beside->loss}};
  }
  if (options.sweep) {
    all["sweep"] = Json::array();
    for (const SweepPoint& point : results.sweep) all["sweep"].push_back(point_of(point));
  }
  return all.dump(2) + "\n";
}

}  // namespace cs::bench
