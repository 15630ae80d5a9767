// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/standin/server.h"

#include <cstdio>
#include <string>
#include <utility>

namespace cs::standin {

namespace {

void say(const std::string& line) {
  std::fprintf(stderr, "cs-standin-keymsd: %s\n", line.c_str());
}

}  // namespace

Server::Server(const Clock& clock, keyms::SignerListener listener, const Behaviour& behaviour)
    : clock_(&clock),
      desk_(clock, behaviour),
      service_(clock, std::move(listener), &desk_,
               {[this](std::uint32_t key, const keyms::SignerService::Answer& answer) {
                  answer(private_key(key));
                },
                [](std::uint32_t key) { say("applied: key " + std::to_string(key)); },
                [](std::uint32_t key, keyms::Table /*table*/, const Error& why) {
                  say("lost key " + std::to_string(key) + ": " + why.message());
                },
                [](bool /*connected*/, const std::string& words) { say(words); }}) {}

Result<SecretBytes> Server::private_key(std::uint32_t key) const {
  return SecretBytes::copy_of(scenario_.keys.at({keyms::Table::outbound, key}).private_key.value());
}

Result<void> Server::run() {
  CS_CHECK(service_.run());
  const keyms::Status& now = service_.counters();
  if (std::exchange(told_, now) == now) return {};
  say("status: signed " + std::to_string(now.packets_signed) + " in " +
      std::to_string(now.batches_signed) + " batches, accepted " +
      std::to_string(now.packets_accepted) + ", dropped " + std::to_string(now.packets_dropped) +
      ", bad signatures " + std::to_string(now.bad_signatures));
  return {};
}

// A key's lifetime runs from the moment the scenario first has it.
Result<void> Server::try_to_add(const KeyName& name, const Key& key) {
  const auto by_lifetime = static_cast<std::uint64_t>(to_time_t(clock_->wall() + key.lifetime)) + 1;
  const keyms::KeyLimit limit{key.not_after.value_or(by_lifetime), clock_->boot() + key.lifetime};
  CS_TRY(SecretBytes gate_secret, SecretBytes::copy_of(key.gate_secret));
  if (name.first == keyms::Table::inbound) {
    return service_.add(keyms::SignerService::Inbound{key.peer, key.scope, std::move(gate_secret),
                                                      key.lanes, limit, key.public_key});
  }
  keyms::StatementSigner::Open open;
  if (key.remote) {
    open = [this](const keyms::StatementSigner::Opening& opening) -> Result<void> {
      CS_TRY(const SecretBytes secret, private_key(opening.scope.key));
      return desk_.open(opening, secret);
    };
  }
  return service_.add(keyms::SignerService::Outbound{key.peer, key.scope, std::move(gate_secret),
                                                     key.lanes, limit, std::move(open),
                                                     key.public_key});
}

void Server::add(const KeyName& name, const Key& key) {
  if (const auto added = try_to_add(name, key); !added.ok()) say(added.error().message());
}

void Server::change(Scenario scenario) {
  const Scenario old = std::exchange(scenario_, std::move(scenario));
  const auto stays = [](const auto& before, const auto& now, const auto& name) {
    const auto was = before.find(name);
    const auto is = now.find(name);
    return was != before.end() && is != now.end() && was->second == is->second;
  };
  for (const auto& [name, key] : old.keys) {
    if (!stays(old.keys, scenario_.keys, name)) service_.remove(name.second, name.first);
  }
  for (const auto& [id, peer] : old.peers) {
    if (!scenario_.peers.contains(id)) service_.remove_peer(id);
  }
  for (const auto& [id, peer] : scenario_.peers) {
    if (stays(old.peers, scenario_.peers, id)) continue;
    if (const auto set = service_.set({id, peer.mode, peer.addresses}); !set.ok())
      say(set.error().message());
  }
  for (const auto& [name, key] : scenario_.keys) {
    if (!stays(old.keys, scenario_.keys, name)) add(name, key);
  }
}

}  // namespace cs::standin
