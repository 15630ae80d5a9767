// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/watch/reconciler.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "xfrm/state/text.h"
#include "xfrm/vici/client.h"

namespace cs::xfrm {
namespace {

constexpr std::chrono::milliseconds patience{500};

bool is_ipsec(std::uint8_t protocol) noexcept {
  return protocol == IPPROTO_ESP || protocol == IPPROTO_AH || protocol == IPPROTO_COMP;
}

}  // namespace

std::vector<SaName> known_sas(const std::vector<vici::ChildSa>& children) {
  std::vector<SaName> known;
  const auto add = [&known](const std::optional<Address>& destination, std::uint32_t spi,
                            std::uint8_t protocol) {
    if (destination && spi != 0) known.push_back({*destination, protocol, spi});
  };
  for (const vici::ChildSa& child : children) {
    add(child.local, child.spi_in, child.protocol);
    add(child.remote, child.spi_out, child.protocol);
    add(child.local, child.compression_in, IPPROTO_COMP);
    add(child.remote, child.compression_out, IPPROTO_COMP);
  }
  return known;
}

Result<std::vector<SaName>> ask_ike_daemon(const std::string& socket) {
  CS_TRY(vici::Client client, vici::Client::connect(socket, patience));
  CS_TRY(const auto children, client.list_sas());
  return known_sas(children);
}

std::size_t Reconciler::Hash::operator()(const SaName& sa) const noexcept {
  std::array<char, 16 + 4 + 1> bytes{};
  std::memcpy(bytes.data(), sa.destination.bytes.data(), 16);
  std::memcpy(bytes.data() + 16, &sa.spi, 4);
  bytes[20] = static_cast<char>(sa.protocol);
  return std::hash<std::string_view>()({bytes.data(), bytes.size()});
}

void Reconciler::ask(BootTime now) {
  next_question_ = now + std::chrono::nanoseconds(grace_) / 2;
  auto answer = ask_();
  if (answer.ok()) {
    known_ = {answer->begin(), answer->end()};
    silent_since_.reset();
    return;
  }
  if (silent_since_) return;
  silent_since_ = now;
  why_silent_ = answer.error().message();
}

std::vector<Difference> Reconciler::judge(const State& state, BootTime now) {
  if (now >= next_question_) ask(now);
  due_ = next_question_;
  std::vector<Difference> found;
  std::unordered_map<SaName, BootTime, Hash> alone;
  for (const Sa& sa : state.sas) {
    const SaName key{sa.id.destination, sa.id.protocol, sa.id.spi};
    if (!is_ipsec(sa.id.protocol) || known_.contains(key)) continue;
    const auto before = alone_since_.find(key);
    const BootTime since = before == alone_since_.end() ? now : before->second;
    alone.emplace(key, since);
    // While nobody answers, nobody knows whether it is known.
    if (silent_since_) continue;
    if (now - since < grace_) {
      due_ = std::min(due_, since + grace_);
      continue;
    }
    found.push_back({Code::sa_unknown, "",
                     "SA " + name_of(sa) + " is in the kernel, and nobody answers for it"});
  }
  alone_since_ = std::move(alone);
  if (silent_since_ && now - *silent_since_ >= grace_ && !state.sas.empty()) {
    found.push_back({Code::ike_silent, "", "nobody tells which SAs are known: " + why_silent_});
  }
  return found;
}

}  // namespace cs::xfrm
