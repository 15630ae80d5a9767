// SPDX-License-Identifier: GPL-3.0-or-later
// What keymsd will do with the kernel's IPsec, by itself: holds it against an agreement once, or
// follows it and tells drift. For the lab, whose guests have SAs.
//
//   cs-xfrm-probe compare left|right AGREEMENT.json    one line of JSON
//   cs-xfrm-probe follow left|right AGREEMENT.json     a line for each drift that begins or ends
//   cs-xfrm-probe measure left|right AGREEMENT.json    what reading and canonicalising cost,
//   against ip
//
// In place of the JSON a core policy's text, POLICY.toml; its first gateway is the left end.
#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "base/clock.h"
#include "base/hex.h"
#include "keyms/policy/toml.h"
#include "tests/lab/probe/agreement_json.h"
#include "xfrm/agreement/compare.h"
#include "xfrm/canonical/canonical.h"
#include "xfrm/state/ike_sockets.h"
#include "xfrm/state/kernel.h"
#include "xfrm/watch/watcher.h"

namespace {

using namespace cs;
using namespace cs::xfrm;
using nlohmann::json;

json told(const Difference& one) {
  const Meaning& meant = meaning(one.code);
  return {{"code", meant.name},
          {"severity", text(meant.severity)},
          {"tunnel", one.tunnel},
          {"sentence", one.sentence}};
}

// A daemon's sockets have two policies each, in and out.
Result<Known> known_now() {
  CS_TRY(const auto sockets, find_ike_sockets());
  Known known;
  known.socket_bypasses = 2 * sockets.size();
  return known;
}

Result<void> compare_once(const Expected& expected) {
  CS_TRY(netlink::Socket socket, open_socket());
  CS_TRY(const State state, read_state(socket));
  CS_TRY(const Known known, known_now());
  json out{{"differences", json::array()}, {"tunnels", json::object()}};
  for (const Difference& one : compare(expected, state, known)) {
    out["differences"].push_back(told(one));
  }
  const PolicyIndex index(state.policies);
  for (const Tunnel& tunnel : expected.agreement.tunnels) {
    CS_TRY(const Canonical form,
           canonicalise(tunnel, expected.end, state, index, known.socket_bypasses));
    out["tunnels"][tunnel.name] = {{"policies", hex_encode(form.policies)},
                                   {"policies_sha256", hex_encode(form.policies_sha256)},
                                   {"whole_sha256", hex_encode(form.whole_sha256)}};
  }
  std::cout << out.dump() << std::endl;
  return {};
}

Result<void> follow(const Expected& expected) {
  const SystemClock clock;
  WatchOptions options;
  options.audit_interval = std::chrono::seconds(2);
  options.grace = std::chrono::seconds(3);
  CS_TRY(const Known known, known_now());
  options.judge = [&](const State& state) { return compare(expected, state, known); };
  options.on_drift = [](const Difference& one, bool begun) {
    std::cout << (begun ? "+" : "-") << meaning(one.code).name << " " << one.sentence << std::endl;
  };
  CS_TRY(const auto source, KernelSource::open());
  CS_TRY(const auto watcher, Watcher::open(*source, clock, std::move(options)));
  CS_CHECK(watcher->run());
  std::cout << "following" << std::endl;
  while (std::cout) {
    const auto wait =
        std::chrono::ceil<std::chrono::milliseconds>(watcher->deadline() - clock.boot());
    pollfd events{source->fd(), POLLIN, 0};
    ::poll(&events, 1, static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, 1000)));
    CS_CHECK(watcher->run());
  }
  return {};
}

double milliseconds_of(const std::function<Result<void>()>& work, Result<void>& done) {
  const auto begin = std::chrono::steady_clock::now();
  done = work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

double median(std::vector<double> of) {
  std::ranges::sort(of);
  return of.at(of.size() / 2);
}

// Turn about, so that what else the machine does falls on both.
Result<void> measure(const Expected& expected) {
  CS_TRY(netlink::Socket socket, open_socket());
  std::vector<double> ours;
  std::vector<double> theirs;
  std::size_t policies = 0;
  std::size_t sas = 0;
  Result<void> done;
  for (int round = 0; round < 9 && done.ok(); ++round) {
    ours.push_back(milliseconds_of(
        [&]() -> Result<void> {
          CS_TRY(const State state, read_state(socket));
          policies = state.policies.size();
          sas = state.sas.size();
          const PolicyIndex index(state.policies);
          CS_TRY(const Canonical form,
                 canonicalise(expected.agreement.tunnels.at(0), expected.end, state, index, 0));
          return form.policies.empty() ? Error(ErrorKind::internal, "nothing") : Result<void>();
        },
        done));
    CS_CHECK(done);
    theirs.push_back(milliseconds_of(
        []() -> Result<void> {
          // NOLINTNEXTLINE(cert-env33-c): as an operator would type it.
          const int code = std::system("ip xfrm state > /dev/null && ip xfrm policy > /dev/null");
          return code == 0 ? Result<void>() : Error(ErrorKind::io, "ip fails");
        },
        done));
  }
  CS_CHECK(done);
  std::cout << json{{"policies", policies},
                    {"sas", sas},
                    {"read_and_canonicalise_ms", median(ours)},
                    {"ip_ms", median(theirs)},
                    {"ratio", median(ours) / median(theirs)}}
                   .dump()
            << std::endl;
  return {};
}

Result<Agreement> read_agreement(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  if (!file.ends_with(".toml")) return test::parse_agreement(text.str());
  CS_TRY(keyms::CorePolicy policy, keyms::parse_toml_policy(text.str(), file));
  return std::move(policy.agreement);
}

Result<void> run(const std::string& verb, const std::string& end, const std::string& file) {
  CS_TRY(const Agreement agreement, read_agreement(file));
  CS_TRY(const Expected expected, expect(agreement, end == "left" ? End::left : End::right));
  if (verb == "measure") return measure(expected);
  return verb == "compare" ? compare_once(expected) : follow(expected);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    const auto done = run(argv[1], argv[2], argv[3]);
    if (done.ok()) return 0;
    std::cerr << done.error().message() << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
  return 1;
}
