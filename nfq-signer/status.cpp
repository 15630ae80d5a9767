// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/status.h"

#include <nlohmann/json.hpp>

namespace cs {

namespace {

using Json = nlohmann::ordered_json;

Json by_reason(const WorkerCounters::ByReason& counters) {
  Json out = Json::object();
  for (std::size_t i = 1; i < counters.size(); ++i) {
    out[std::string(to_string(static_cast<Reason>(i)))] = counters.at(i).value();
  }
  return out;
}

Json counters_json(const WorkerCounters& c) {
  Json sizes = Json::object();
  for (std::size_t i = 0; i < c.batch_sizes.size(); ++i) {
    if (c.batch_sizes.at(i).value() != 0)
      sizes[std::to_string(1U << i)] = c.batch_sizes.at(i).value();
  }
  return {{"received", c.received.value()},
          {"signed", c.signed_out.value()},
          {"verified", c.verified.value()},
          {"unasked", c.unasked.value()},
          {"untouched", c.untouched.value()},
          {"tolerated", by_reason(c.tolerated)},
          {"dropped", by_reason(c.dropped)},
          {"dropped_no_peer", c.no_peer.value()},
          {"dropped_closed", c.closed.value()},
          {"dropped_signer_failed", c.signer_failed.value()},
          {"dropped_truncated", c.truncated.value()},
          {"dropped_unusable", c.unusable.value()},
          {"lost_buffer_full", c.lost.value()},
          {"verdicts_refused", c.refused.value()},
          {"batches", c.batches.value()},
          {"batches_asked_again", c.asked_again.value()},
          {"batch_sizes_up_to", sizes},
          {"signatures_checked", c.signatures_checked.value()}};
}

Json tunnel_json(const mtu::TunnelState& state) {
  const mtu::Plan plan = state.plan.value_or(mtu::Plan{});
  const bool is_transport = state.tunnel.sa.mode == mtu::Mode::transport;
  return {{"mode", is_transport ? "transport" : "tunnel"},
          {"inner_mtu", plan.inner_mtu},
          {"inner_mtu_ipv6", plan.inner_mtu_ipv6},
          {"routes", state.routes},
          {"excess", state.excess},
          {"trouble", state.trouble}};
}

Json path_json(const mtu::PathState& path) {
  Json tunnels = Json::array();
  for (const mtu::TunnelState& tunnel : path.tunnels) tunnels.push_back(tunnel_json(tunnel));
  const rt::PathMtu known = path.watch.last().value_or(rt::PathMtu{});
  std::string trouble = path.trouble;
  if (path.tunnels.empty() && trouble.empty())
    trouble = "no [[tunnel]] in the configuration: its inner MTU is not set";
  return {{"peer", path.address.text()},
          {"path_mtu", known.mtu},
          {"learned", known.learned},
          {"max_batch", path.limit.max_batch},
          {"fragmented", path.limit.counters->fragmented.load()},
          {"lost", path.limit.counters->lost.load()},
          {"trouble", trouble},
          {"tunnels", tunnels}};
}

}  // namespace

std::string status_json(const Status& status) {
  Json workers = Json::array();
  for (const WorkerStatus& worker : status.workers) {
    workers.push_back({{"direction", worker.direction},
                       {"queue", worker.queue},
                       {"packets", counters_json(*worker.counters)}});
  }
  Json paths = Json::array();
  for (const mtu::PathState& path : status.paths) paths.push_back(path_json(path));
  const Json out = {
      {"schema_version", 1},
      {"state", status.is_closed ? "closed" : "open"},
      {"reason", status.reason},
      {"keymsd", status.has_keymsd ? "connected" : "away"},
      {"keymsd_trouble", status.keymsd_trouble},
      {"peers", status.peers},
      {"keys", {{"outbound", status.outbound_keys}, {"inbound", status.inbound_keys}}},
      {"paths", paths},
      {"workers", workers}};
  return out.dump(2) + "\n";
}

}  // namespace cs
