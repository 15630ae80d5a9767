// SPDX-License-Identifier: GPL-3.0-or-later
// Two gateways with the engine between them, on real NFQUEUE.
#pragma once

#include "tests/netns/gateways.h"

namespace cs::test {

constexpr int kOut = 10;
constexpr int kIn = 20;
constexpr std::uint32_t kPast = 0x80;  // a packet with this mark is not signed: the attacker's
constexpr std::uint32_t kVerified = 0x10000;

class Engine : public Gateways {
 protected:
  Engine() : Gateways(kPast, {kProtocolEsp, kProtocolAh}) {
    for (const char* match : {"esp", "ah"}) {
      rule(pair_.a, "POSTROUTING", match, {"-m", "mark", "!", "--mark", "0x80/0x80"}, kOut);
      rule(pair_.b, "INPUT", match, {}, kIn);
    }
  }

  static void rule(const Netns& netns, const char* chain, const std::string& protocol,
                   std::vector<std::string> more, int queue) {
    std::vector<std::string> all{"-A", chain};
    // `ip6tables -p ah` matches nothing: AH is an extension header there.
    if (protocol == "ah" && !is_v4()) {
      all.insert(all.end(), {"-m", "ah"});
    } else {
      all.insert(all.end(), {"-p", protocol});
    }
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), {"-j", "NFQUEUE", "--queue-num", std::to_string(queue)});
    get(change_mangle(netns, GetParam(), all));
  }

  OutThread start_signer(std::unique_ptr<RootSigner> signer = nullptr,
                         OutboundWorker::Options options = {}) {
    auto queue = get(pair_.a.run([] { return Queue::open({.number = kOut}); }));
    OutboundWorker worker =
        get(OutboundWorker::create(std::move(queue), clock_, std::move(options)));
    if (!signer) signer = std::make_unique<LocalSigner>(ends_.signing());
    worker.set_peer({1, Mode::enforce, {address(kAddressesB)}});
    worker.set_key(1, ends_.outbound(), std::move(signer));
    return get(WorkerThread<OutboundWorker>::start(std::move(worker)));
  }
  InThread start_verifier(Mode mode = Mode::enforce, Queue::Options options = {}) {
    return start_verifier(mode, options, ends_.inbound());
  }
  InThread start_verifier(Mode mode, Queue::Options options, InboundKey key) {
    options.number = kIn;
    auto queue = get(pair_.b.run([&] { return Queue::open(options); }));
    InboundWorker worker =
        get(InboundWorker::create(std::move(queue), clock_, {.mark = {kVerified, kVerified}}));
    get(worker.verifier().add_key(std::move(key)));
    worker.set_peer({1, mode, {address(kAddressesA)}});
    return get(WorkerThread<InboundWorker>::start(std::move(worker)));
  }
  // What waits in a queue counts as not yet sent by the socket, so a burst fills it.
  void send_patiently(const Packet& one) const {
    auto sent = sender_.send(one);
    for (; !sent.ok() && sent.error().kind() == ErrorKind::busy; sent = sender_.send(one))
      std::this_thread::yield();
    get(sent);
  }
  // Packets signed by the worker in a and held back before b, as an attacker on the way has them.
  std::vector<Packet> signed_on_the_way(const std::vector<Packet>& plain) {
    const OutThread signer = start_signer();
    for (const Packet& one : plain) get(sender_.send(one));
    std::vector<Packet> out;
    for (auto& seen : get(capture_.collect(plain.size(), kPatience))) out.push_back(seen.bytes);
    EXPECT_EQ(out.size(), plain.size());
    return out;
  }
};

}  // namespace cs::test
