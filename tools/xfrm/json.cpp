// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/xfrm/json.h"

#include <nlohmann/json.hpp>

#include "base/hex.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using Json = nlohmann::ordered_json;

// What a kernel tells is no UTF-8 by itself.
std::string printable(const std::string& text) {
  return detail::one_line(text);
}

Json ports_json(const Ports& ports) {
  if (ports.mask == 0xffff) return ports.port;
  return Json{{"port", ports.port}, {"mask", ports.mask}};
}

Json selector_json(const Selector& selector) {
  if (selector.any_family) return Json{{"family", "any"}};
  Json json{{"source", selector.source.text()}, {"destination", selector.destination.text()}};
  if (selector.protocol != 0) json["protocol"] = selector.protocol;
  if (selector.source_ports.mask != 0) json["source_port"] = ports_json(selector.source_ports);
  if (selector.destination_ports.mask != 0) {
    json["destination_port"] = ports_json(selector.destination_ports);
  }
  if (selector.interface != 0) json["interface"] = selector.interface;
  if (selector.user != 0) json["user"] = selector.user;
  return json;
}

void add_limit(Json& json, const char* name, std::uint64_t limit, std::uint64_t none) {
  if (limit != none) json[name] = limit;
}

void add_lifetime(Json& json, const Lifetime& lifetime) {
  Json limits = Json::object();
  add_limit(limits, "soft_seconds", lifetime.soft_seconds, 0);
  add_limit(limits, "hard_seconds", lifetime.hard_seconds, 0);
  add_limit(limits, "soft_use_seconds", lifetime.soft_use_seconds, 0);
  add_limit(limits, "hard_use_seconds", lifetime.hard_use_seconds, 0);
  add_limit(limits, "soft_bytes", lifetime.soft_bytes, Lifetime::unlimited);
  add_limit(limits, "hard_bytes", lifetime.hard_bytes, Lifetime::unlimited);
  add_limit(limits, "soft_packets", lifetime.soft_packets, Lifetime::unlimited);
  add_limit(limits, "hard_packets", lifetime.hard_packets, Lifetime::unlimited);
  if (!limits.empty()) json["lifetime"] = std::move(limits);
}

Json usage_json(const Usage& usage) {
  return {{"bytes", usage.bytes},
          {"packets", usage.packets},
          {"added", usage.added},
          {"first_used", usage.first_used}};
}

void add_rest(Json& json, const std::optional<Offload>& offload, const std::string& context,
              const std::vector<Opaque>& unknown) {
  if (offload) json["offload"] = {{"interface", offload->interface}, {"flags", offload->flags}};
  if (!context.empty()) json["security_context"] = printable(context);
  for (const Opaque& one : unknown) {
    json["unknown_attributes"].push_back({{"type", one.type}, {"value", hex_encode(one.value)}});
  }
}

Json template_json(const Template& wanted) {
  Json json{{"protocol", ipsec_protocol(wanted.protocol)},
            {"mode", text(wanted.mode)},
            {"optional", wanted.optional}};
  if (wanted.mode != Mode::transport) {
    json["source"] = wanted.source.text();
    json["destination"] = wanted.destination.text();
  }
  if (wanted.spi != 0) json["spi"] = spi_text(wanted.spi);
  json["reqid"] = wanted.reqid;
  if (wanted.share != Share::any) json["share"] = static_cast<unsigned>(wanted.share);
  add_limit(json, "authentications", wanted.authentications, ~0U);
  add_limit(json, "encryptions", wanted.encryptions, ~0U);
  add_limit(json, "compressions", wanted.compressions, ~0U);
  return json;
}

void add_algorithm(Json& json, const char* name, const std::optional<Algorithm>& algorithm) {
  if (!algorithm) return;
  json[name] = {{"name", printable(algorithm->name)}, {"key_bits", algorithm->key_bits}};
  if (algorithm->icv_bits != 0) json[name]["icv_bits"] = algorithm->icv_bits;
}

void add_settings(Json& json, const Sa& sa) {
  if (sa.encapsulation) {
    json["udp"] = {{"type", sa.encapsulation->type},
                   {"source_port", sa.encapsulation->source_port},
                   {"destination_port", sa.encapsulation->destination_port}};
  }
  if (sa.id.mark.mask != 0) json["mark"] = text(sa.id.mark);
  if (sa.output_mark.mask != 0) json["output_mark"] = text(sa.output_mark);
  if (sa.interface_id != 0) json["if_id"] = sa.interface_id;
  json["flags"] = flag_names(sa);
  if (sa.tfc_pad != 0) json["tfc_pad"] = sa.tfc_pad;
  if (sa.direction != SaDirection::unknown) {
    json["direction"] = sa.direction == SaDirection::in ? "in" : "out";
  }
  if (!(sa.selector == Selector{})) json["selector"] = selector_json(sa.selector);
}

}  // namespace

Json to_json(const Sa& sa) {
  Json json{{"protocol", ipsec_protocol(sa.id.protocol)},
            {"source", sa.source.text()},
            {"destination", sa.id.destination.text()},
            {"spi", spi_text(sa.id.spi)},
            {"mode", text(sa.mode)},
            {"reqid", sa.reqid},
            {"larval", sa.is_larval()}};
  add_algorithm(json, "aead", sa.aead);
  add_algorithm(json, "encryption", sa.encryption);
  add_algorithm(json, "authentication", sa.authentication);
  add_algorithm(json, "compression", sa.compression);
  json["replay"] = {{"window", sa.replay.window},
                    {"extended", sa.replay.extended},
                    {"sent", sa.replay.sent},
                    {"received", sa.replay.received}};
  add_settings(json, sa);
  add_lifetime(json, sa.lifetime);
  json["usage"] = usage_json(sa.usage);
  if (sa.last_used != 0) json["last_used"] = sa.last_used;
  json["refused"] = {{"replayed", sa.replay_failures},
                     {"outside_window", sa.window_failures},
                     {"wrong_icv", sa.integrity_failures}};
  add_rest(json, sa.offload, sa.security_context, sa.unknown);
  return json;
}

Json to_json(const Policy& policy) {
  Json json{{"direction", text(policy.direction)},
            {"selector", selector_json(policy.selector)},
            {"action", text(policy.action)},
            {"priority", policy.priority},
            {"index", policy.index},
            {"type", policy.type == PolicyType::main ? "main" : "sub"},
            {"templates", Json::array()}};
  for (const Template& wanted : policy.templates) {
    json["templates"].push_back(template_json(wanted));
  }
  if (policy.mark.mask != 0) json["mark"] = text(policy.mark);
  if (policy.interface_id != 0) json["if_id"] = policy.interface_id;
  if (policy.flags != 0) json["flags"] = policy.flags;
  if (policy.share != Share::any) json["share"] = static_cast<unsigned>(policy.share);
  add_lifetime(json, policy.lifetime);
  json["usage"] = usage_json(policy.usage);
  add_rest(json, policy.offload, policy.security_context, policy.unknown);
  return json;
}

Json to_json(const Defaults& defaults) {
  return {
      {"in", text(defaults.in)}, {"forward", text(defaults.forward)}, {"out", text(defaults.out)}};
}

Json to_json(const InterfaceSwitches& switches) {
  return {{"name", printable(switches.name)},
          {"disable_xfrm", switches.disable_xfrm},
          {"disable_policy", switches.disable_policy},
          {"disable_policy_ipv6", switches.disable_policy_ipv6}};
}

}  // namespace cs::xfrm
