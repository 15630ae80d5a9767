// SPDX-License-Identifier: GPL-3.0-or-later
// For tests: states of a kernel, however odd, near the sample tunnels. `draw(n)` gives a number
// below n: from a generator, or from an input that is being fuzzed.
#pragma once

#include <array>
#include <string_view>

#include "tests/unit/agreement_samples.h"

namespace cs::test {

template <class Draw>
class StateMaker {
 public:
  explicit StateMaker(Draw& draw) : draw_(draw) {}

  xfrm::State state() {
    xfrm::State s;
    for (unsigned n = below(12); n > 0; --n) s.policies.push_back(policy());
    for (unsigned n = below(8); n > 0; --n) s.sas.push_back(sa());
    if (chance()) s.defaults = xfrm::Defaults{action(), action(), action()};
    constexpr std::array<const char*, 4> names{"all", "eth0", "lo", "a-name-of-24-bytes-or-so"};
    for (const char* name : names) {
      if (chance()) s.interfaces.push_back({name, chance(), chance(), chance()});
    }
    return s;
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(draw_(n)); }
  bool chance() { return below(2) == 1; }
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return *(list.begin() + below(static_cast<unsigned>(list.size())));
  }
  std::uint64_t number() {
    return one_of<std::uint64_t>({0, 1, 23, 24, 255, 256, 65535, 65536, 1U << 31U, ~0ULL, ~0U});
  }
  xfrm::Action action() { return chance() ? xfrm::Action::block : xfrm::Action::allow; }

  xfrm::Address endpoint() {
    return address(one_of<std::string_view>(
        {"192.0.0.1", "192.0.0.2", "192.0.0.1", "192.0.0.2", "198.51.100.7", "2001:db8::1"}));
  }
  xfrm::Prefix prefix(bool ipv6) {
    if (ipv6) return network(one_of<std::string_view>({"::/0", "2001:db8::/32"})).network;
    return network(
               one_of<std::string_view>({"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.1.0.0/24",
                                         "10.0.0.77/32", "10.1.0.128/25", "172.16.0.0/12"}))
        .network;
  }
  xfrm::Ports ports() {
    return one_of<xfrm::Ports>({{}, {}, {}, {80, 0xffff}, {0x4000, 0xc000}, {0x4001, 0xffff}});
  }
  xfrm::Mark mark() { return one_of<xfrm::Mark>({{}, {}, {0x10000, 0x10000}, {1, 3}, {2, 2}}); }
  xfrm::Selector selector() {
    xfrm::Selector s;
    const bool ipv6 = below(8) == 0;
    s.source = prefix(ipv6);
    s.destination = prefix(ipv6);
    s.protocol = one_of<std::uint8_t>({0, 0, 6, 17});
    s.source_ports = ports();
    s.destination_ports = ports();
    s.interface = one_of({0U, 0U, 0U, 2U});
    s.user = one_of({0U, 0U, 5U});
    return s;
  }
  xfrm::Lifetime lifetime() {
    xfrm::Lifetime l;
    if (chance()) return l;
    for (auto* one : {&l.soft_bytes, &l.hard_bytes, &l.soft_packets, &l.hard_packets,
                      &l.soft_seconds, &l.hard_seconds, &l.soft_use_seconds, &l.hard_use_seconds}) {
      *one = number();
    }
    return l;
  }
  std::vector<xfrm::Opaque> unknown() {
    std::vector<xfrm::Opaque> all;
    for (unsigned n = below(4); n > 1; --n) {
      all.push_back({static_cast<std::uint16_t>(40 + below(4)),
                     std::vector<std::uint8_t>(below(40), static_cast<std::uint8_t>(n))});
    }
    return all;
  }
  std::optional<xfrm::Offload> offload() {
    if (below(4) != 0) return std::nullopt;
    return xfrm::Offload{below(5), static_cast<std::uint8_t>(below(8))};
  }
  xfrm::Template wanted() {
    xfrm::Template t;
    t.protocol = one_of<std::uint8_t>({50, 50, 51, 108});
    t.mode =
        one_of({xfrm::Mode::tunnel, xfrm::Mode::tunnel, xfrm::Mode::transport, xfrm::Mode::beet});
    t.optional = chance();
    t.share = static_cast<xfrm::Share>(below(4));
    t.source = endpoint();
    t.destination = endpoint();
    t.spi = below(3);
    t.reqid = below(3);
    if (chance()) t.encryptions = below(100);
    return t;
  }
  xfrm::Policy policy() {
    xfrm::Policy p;
    p.direction = static_cast<xfrm::Direction>(one_of({0, 0, 1, 1, 2, 2, 3, 4}));
    p.type = below(8) == 0 ? xfrm::PolicyType::sub : xfrm::PolicyType::main;
    p.index = below(1000);
    p.selector = selector();
    p.priority = below(4);
    p.action = action();
    p.flags = static_cast<std::uint8_t>(below(4));
    p.share = static_cast<xfrm::Share>(below(4));
    for (unsigned n = below(3); n > 0; --n) p.templates.push_back(wanted());
    p.mark = mark();
    p.interface_id = one_of({0U, 0U, 7U});
    p.lifetime = lifetime();
    p.offload = offload();
    if (below(8) == 0) p.security_context = "system_u:object_r:ipsec_spd_t:s0";
    p.unknown = unknown();
    return p;
  }
  std::optional<xfrm::Algorithm> algorithm(std::initializer_list<const char*> names) {
    if (chance()) return std::nullopt;
    return xfrm::Algorithm{one_of(names), below(300), one_of({0U, 96U, 128U})};
  }
  xfrm::Sa sa() {
    xfrm::Sa s;
    s.id = {endpoint(), below(5), one_of<std::uint8_t>({50, 50, 51, 108}), mark()};
    s.source = endpoint();
    s.mode = one_of({xfrm::Mode::tunnel, xfrm::Mode::transport});
    s.reqid = below(3);
    s.selector.any_family = chance();
    if (!s.selector.any_family) s.selector = selector();
    s.flags = static_cast<std::uint8_t>(below(256));
    s.extra_flags = below(4);
    s.replay = {below(5000), chance(), number(), number()};
    s.aead = algorithm({"rfc4106(gcm(aes))", "rfc7539esp(chacha20,poly1305)"});
    s.encryption = algorithm({"cbc(aes)", "ecb(cipher_null)"});
    s.authentication = algorithm({"hmac(sha1)", "hmac(sha256)", "hmac(sha512)", "unheard-of"});
    s.compression = algorithm({"deflate"});
    if (below(4) == 0) s.encapsulation = xfrm::Encapsulation{2, 4500, 4500};
    s.output_mark = mark();
    s.interface_id = below(2);
    s.tfc_pad = below(2);
    s.offload = offload();
    s.direction = static_cast<xfrm::SaDirection>(below(3));
    s.lifetime = lifetime();
    s.usage = {number(), number(), 0, 0};
    s.unknown = unknown();
    return s;
  }

  Draw& draw_;
};

}  // namespace cs::test
