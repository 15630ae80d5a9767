// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's part for the kernel's IPsec by itself: whoever runs it is the session. For the lab,
// whose guests have SAs.
//
//   cs-kernel-probe NEID POLICY.toml VICI-SOCKET
//
// It tells what it finds, and is told what to do, in JSON by the line:
//   → {"do": "stand", "standing": "granted"}, {"do": "begin", "session": HEX, "role": "initiator"},
//     {"do": "sas", "sas": […]}, {"do": "gone", "sas": […]}, {"do": "look"}
//   ← {"event": "sas" or "gone", "sas": […]}, "drift", "measured", "disagree", "trouble", "view"
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "base/hex.h"
#include "keyms/daemon/kernel_watch.h"
#include "keyms/policy/toml.h"

namespace {

using namespace cs;
using namespace cs::keyms;
using nlohmann::json;

void print(const json& line) {
  std::cout << line.dump() << std::endl;
}

Hash hash_of(const json& hex) {
  Hash out{};
  const auto bytes = hex_decode(hex.get<std::string>(), 64);
  if (!bytes.ok() || bytes->size() != out.size()) throw std::runtime_error("no hash");
  std::ranges::copy(*bytes, out.begin());
  return out;
}

class Printing final : public KernelHost {
 public:
  void on_drift(const std::set<xfrm::Difference>& all) override {
    json found = json::array();
    for (const xfrm::Difference& one : all) {
      const xfrm::Meaning& meant = xfrm::meaning(one.code);
      found.push_back({{"code", meant.name},
                       {"severity", xfrm::text(meant.severity)},
                       {"tunnel", one.tunnel},
                       {"sentence", one.sentence}});
    }
    print({{"event", "drift"}, {"all", found}});
  }
  void on_measured(const Hash& policies) override {
    print({{"event", "measured"}, {"policies", hex_encode(policies)}});
  }
  void say(const std::string& peer, const Sealed& message) override {
    json sas = json::array();
    if (const auto* told = std::get_if<Sas>(&message)) {
      for (const SaValue& sa : told->sas) {
        sas.push_back({{"spi", sa.spi},
                       {"sense", sa.sense},
                       {"protocol", sa.protocol},
                       {"algorithms", sa.algorithms},
                       {"value", hex_encode(sa.value)}});
      }
      print({{"event", "sas"}, {"peer", peer}, {"sas", sas}});
    } else if (const auto* gone = std::get_if<SasGone>(&message)) {
      for (const SasGone::Gone& sa : gone->sas)
        sas.push_back({{"spi", sa.spi}, {"sense", sa.sense}});
      print({{"event", "gone"}, {"peer", peer}, {"sas", sas}});
    }
  }
  void disagree(const std::string& peer, const std::string& sentence) override {
    print({{"event", "disagree"}, {"peer", peer}, {"sentence", sentence}});
  }
  void trouble(const Error& error) override {
    print({{"event", "trouble"}, {"message", error.message()}});
  }
};

// The session, by the line.
class Session final : public LoopPart {
 public:
  Session(KernelWatch& watch, std::string peer) : watch_(watch), peer_(std::move(peer)) {}

  [[nodiscard]] bool ended() const noexcept { return ended_; }
  void wait(Waits& waits) const override { waits.on(STDIN_FILENO); }
  Result<void> run() override {
    std::array<char, 4096> chunk{};
    const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got <= 0) ended_ = true;
    if (got > 0) text_.append(chunk.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = text_.find('\n')) != std::string::npos;) {
      const json line = json::parse(text_.substr(0, end));
      text_.erase(0, end + 1);
      CS_CHECK(take(line));
    }
    return {};
  }

 private:
  Result<void> take(const json& line) {
    const std::string what = line.at("do");
    if (what == "stand") {
      for (const Standing one :
           {Standing::closed, Standing::granted, Standing::reported, Standing::restricted}) {
        if (to_string(one) == line.at("standing")) watch_.stand(peer_, one);
      }
    } else if (what == "begin") {
      const bool first = line.at("role") == "initiator";
      watch_.begin_sas(peer_, hash_of(line.at("session")),
                       first ? Role::initiator : Role::responder);
    } else if (what == "sas") {
      Sas told;
      for (const json& sa : line.at("sas")) {
        told.sas.push_back({sa.at("spi"), sa.at("sense"), sa.at("protocol"), sa.at("algorithms"),
                            hash_of(sa.at("value"))});
      }
      watch_.on_sas(peer_, told);
    } else if (what == "gone") {
      SasGone gone;
      for (const json& sa : line.at("sas")) gone.sas.push_back({sa.at("spi"), sa.at("sense")});
      watch_.on_sas_gone(peer_, gone);
    } else {
      return look();
    }
    return {};
  }

  Result<void> look() {
    const KernelView view = watch_.view();
    const KernelView::Pair& pair = view.pairs.at(peer_);
    CS_TRY(const xfrm::GateView in_kernel, watch_.look_at_gate());
    const xfrm::GatePeerView& gate = in_kernel.peers.at(0);
    print({{"event", "view"},
           {"standing", to_string(pair.standing)},
           {"opening", xfrm::to_string(gate.opening)},
           {"passages", gate.passages.size()},
           {"sas", pair.sas},
           {"admitted", pair.admitted},
           {"withheld", pair.withheld},
           {"held", view.held.held},
           {"released", view.held.released},
           {"expired", view.held.expired}});
    return {};
  }

  KernelWatch& watch_;
  std::string peer_;
  std::string text_;
  bool ended_ = false;
};

Result<void> run(const std::string& us, const std::string& file, const std::string& vici) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  CS_TRY(const CorePolicy policy, parse_toml_policy(text.str(), file));
  const SystemClock clock;
  Printing host;
  KernelOptions options;
  options.us = us;
  options.gate.held_queue = 9;
  options.vici_socket = vici;
  options.audit_interval = std::chrono::seconds(5);
  CS_TRY(const auto watch, KernelWatch::open(host, clock, std::move(options), {policy}));
  if (::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) != 0) return from_errno(errno, "stdin");
  Session session(*watch, watch->agreements().peers().at(0).name);
  Loop loop(clock);
  loop.add(*watch);
  loop.add(session);
  print({{"event", "began"}});
  while (!session.ended() && std::cout) CS_CHECK(loop.turn());
  return {};
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
