// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of this tier stand on: a machine that was tried, two namespaces and a cable.
// main.cpp makes no test run on a machine that has not passed.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/support/netns.h"
#include "tests/support/nfqueue.h"
#include "tests/support/packet.h"
#include "tests/support/sockets.h"

namespace cs::test {

// Ends the program (require.h) unless NFQUEUE really works here, in both families: a rule is set
// and a packet waited for, in a namespace made for it.
void require_nfqueue();

// The variant of iptables or ip6tables that worked: plain, -nft or -legacy.
const std::string& iptables(Family family);

// Tables other than mangle are not needed, so not tried. `rule` begins with -A, -D …
Result<void> change_mangle(const Netns& netns, Family family, std::vector<std::string> rule);

// A rule of `chain` that sends ESP to queue `number`.
std::vector<std::string> queue_esp(const std::string& verb, const std::string& chain, int number);

// Two namespaces and a cable:  a [left] ------- [right] b
struct Pair {
  Netns a, b;
};
Result<Pair> make_pair();
inline constexpr std::array kAddressesA{"192.0.2.1", "2001:db8::1"};
inline constexpr std::array kAddressesB{"192.0.2.2", "2001:db8::2"};

// What may take its time on a loaded machine, and how long silence must last to be believed.
inline constexpr std::chrono::seconds kPatience{5};
inline constexpr std::chrono::milliseconds kSilence{150};

}  // namespace cs::test
