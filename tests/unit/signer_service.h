// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's end of the data plane's socket in a test, with nfq-signer's at the other end.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "keyms/daemon/signer_service.h"
#include "tests/support/manual_clock.h"
#include "tests/unit/signer_messages.h"
#include "tests/unit/unix_sockets.h"

namespace cs::test {

using Words = std::vector<std::string>;

struct InWords {
  static std::string name(keyms::Table table, std::uint32_t key) {
    return (table == keyms::Table::outbound ? "outbound " : "inbound ") + std::to_string(key);
  }
  std::string operator()(const keyms::Welcome& /*message*/) const { return "welcome"; }
  std::string operator()(const keyms::Peer& message) const {
    return "peer " + std::to_string(message.id);
  }
  std::string operator()(const keyms::OutboundKey& message) const {
    const keyms::LaneRange lanes = message.record.lanes;
    return name(keyms::Table::outbound, message.record.scope.key) + " lanes " +
           std::to_string(lanes.first) + "-" + std::to_string(lanes.last);
  }
  std::string operator()(const keyms::InboundKey& message) const {
    return name(keyms::Table::inbound, message.record.scope.key);
  }
  std::string operator()(const keyms::RemoveKey& message) const {
    return "remove " + name(message.table, message.key);
  }
  std::string operator()(const keyms::RemovePeer& message) const {
    return "remove peer " + std::to_string(message.id);
  }
  std::string operator()(const keyms::EndOfState& /*message*/) const { return "end"; }
  std::string operator()(const keyms::SignReply& message) const {
    return "reply " + std::to_string(message.ticket) + " " + std::string(to_string(message.status));
  }
};

// nfq-signer.
class DataPlane {
 public:
  DataPlane(const Clock& clock, const std::string& path, std::uint8_t instance = 1,
            std::uint16_t workers = 2)
      : connection_(get(keyms::KeymsdConnection::create(
            clock,
            {path, getuid(), {keyms::signer_protocol_version, workers, counted<16>(instance)}}))) {
    get(connection_.tick());
  }

  // What is there, in words; the last messages stay in last_....
  Words heard() {
    Words out;
    while (true) {
      auto message = connection_.receive();
      if (!message.ok()) {
        out.emplace_back("closed");
        return out;
      }
      if (!message->has_value()) return out;
      out.push_back(std::visit(InWords{}, **message));
      if (const auto* key = std::get_if<keyms::OutboundKey>(&**message)) {
        ends[{keyms::Table::outbound, key->record.scope.key}] = key->record.end;
        if (const auto* own = std::get_if<keyms::SessionKey>(&key->signer))
          private_key = own->private_key.bytes().front();
      } else if (const auto* inbound = std::get_if<keyms::InboundKey>(&**message)) {
        ends[{keyms::Table::inbound, inbound->record.scope.key}] = inbound->record.end;
      } else if (const auto* reply = std::get_if<keyms::SignReply>(&**message)) {
        last_reply = *reply;
      }
    }
  }
  template <class Message>
  void say(const Message& message) {
    get(connection_.send(message));
  }

  std::map<std::pair<keyms::Table, std::uint32_t>, keyms::KeyEnd> ends;
  std::uint8_t private_key = 0;  // the first byte of the last
  keyms::SignReply last_reply;

 private:
  keyms::KeymsdConnection connection_;
};

class SignerServiceTest : public ::testing::Test {
 protected:
  using Service = keyms::SignerService;

  void start(keyms::StatementSigner* signer = nullptr) {
    service.reset();
    service = std::make_unique<Service>(
        clock, get(keyms::SignerListener::open(clock, path, getuid())), signer,
        Service::Hooks{[this](std::uint32_t key, Service::Answer answer) {
                         fetches.emplace_back(key, std::move(answer));
                         if (at_once) fetches.back().second(secret<32>(0x90));
                       },
                       [this](std::uint32_t key) {
                         told.push_back("applied " + std::to_string(key));
                         if (then) then();
                       },
                       [this](std::uint32_t key, keyms::Table table, const Error& why) {
                         told.push_back("lost " + InWords::name(table, key) + ": " + why.message());
                         if (then) then();
                       },
                       [this](bool connected, const std::string& /*words*/) {
                         told.emplace_back(connected ? "connected" : "gone");
                         if (then) then();
                       }});
  }
  [[nodiscard]] DataPlane connect(std::uint8_t instance = 1, std::uint16_t workers = 2) {
    DataPlane made(clock, path, instance, workers);
    turn();
    return made;
  }
  void turn() const { get(service->run()); }
  Words after_turn(DataPlane& plane) const {
    turn();
    return plane.heard();
  }

  [[nodiscard]] keyms::KeyLimit within(std::chrono::nanoseconds time) const {
    return {1'800'000'000, clock.boot() + time};
  }
  static keyms::KeyScope scope(std::uint32_t id) {
    keyms::KeyScope out = key_scope();
    out.key = id;
    return out;
  }
  [[nodiscard]] Service::Outbound outbound(std::uint32_t id, std::uint32_t peer = 1) const {
    return {peer, scope(id), secret<16>(0x70), {10, 15}, within(std::chrono::hours(1)), {}, {}};
  }
  [[nodiscard]] Service::Inbound inbound(std::uint32_t id, std::uint32_t peer = 1) const {
    return {peer,
            scope(id),
            secret<16>(0x70),
            {10, 15},
            within(std::chrono::hours(1)),
            public_key(key_scope().suite)};
  }
  void set(std::uint32_t peer) const { get(service->set({peer, keyms::Mode::enforce, {}})); }
  // One peer with one key in each table.
  void fill() const {
    set(1);
    get(service->add(outbound(5)));
    get(service->add(inbound(7)));
  }
  void answer(std::size_t fetch, std::uint8_t first_byte = 0x90) const {
    fetches.at(fetch).second(secret<32>(first_byte));
  }

  ManualClock clock;
  SocketDirectory directory;
  std::string path = directory.socket();
  bool at_once = true;
  std::function<void()> then;
  std::vector<std::pair<std::uint32_t, Service::Answer>> fetches;
  Words told;
  std::unique_ptr<Service> service;
};

}  // namespace cs::test
